use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the server may take to reply.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest reply, in bytes.
const LIMIT: u64 = 1000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7052".to_string());
    let length = args.next().unwrap_or_else(|| "1200".to_string());
    match run(&addr, &length) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unread-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, length: &str) -> Result<()> {
    let length: u16 = length
        .parse()
        .with_context(|| format!("{length} as a number of bytes"))?;
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;

    let mut note = vec![b'.'; length.into()];
    note.push(b'\n');
    stream.write_all(&note).context("send the note")?;
    let mut reply = String::new();
    stream
        .take(LIMIT)
        .read_to_string(&mut reply)
        .context("read the reply")?;
    println!("the server says {reply:?}");
    Ok(())
}
// ANCHOR_END: run
