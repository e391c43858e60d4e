use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7024")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("closed-listener-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    println!("connected");
    stream.set_read_timeout(Some(PATIENCE))?;

    let mut line = String::new();
    io::stdin().lock().take(80).read_line(&mut line)?;
    stream
        .write_all(line.as_bytes())
        .with_context(|| format!("write to {addr}"))?;

    let mut reply = String::new();
    let mut reader = BufReader::new(stream).take(80);
    reader
        .read_line(&mut reply)
        .with_context(|| format!("read from {addr}"))?;
    println!("the server says {reply:?}");
    Ok(())
}
// ANCHOR_END: run
