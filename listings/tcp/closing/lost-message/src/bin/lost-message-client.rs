use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long the server may take to take a line, or to acknowledge one.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line, in bytes.
const LIMIT: u64 = 1000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7053".to_string());
    let how = args.next().unwrap_or_else(|| "silent".to_string());
    match run(&addr, &how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lost-message-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, how: &str) -> Result<()> {
    let waits = match how {
        "silent" => false,
        "ack" => true,
        _ => bail!("{how} is neither silent nor ack"),
    };
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut replies = BufReader::new(stream.try_clone()?);
    println!("connected");

    loop {
        let mut line = String::new();
        if io::stdin().lock().take(LIMIT).read_line(&mut line)? == 0 {
            return Ok(());
        }
        stream
            .write_all(line.as_bytes())
            .with_context(|| format!("write {line:?}"))?;
        if waits {
            acknowledged(&mut replies)
                .with_context(|| format!("{line:?} may be lost"))?;
        }
        println!("ok {line:?}");
    }
}
// ANCHOR_END: run

// ANCHOR: ack
/// Waits until the server says that it has stored the line.
fn acknowledged(replies: &mut BufReader<TcpStream>) -> Result<()> {
    let mut reply = String::new();
    replies.take(LIMIT).read_line(&mut reply)?;
    ensure!(!reply.is_empty(), "the server has closed");
    ensure!(reply == "stored\n", "the server says {reply:?}");
    Ok(())
}
// ANCHOR_END: ack
