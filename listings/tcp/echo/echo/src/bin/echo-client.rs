use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7001".to_string());
    let message = args.next().unwrap_or_else(|| "Hello, world".to_string());
    match run(&addr, &message) {
        Ok(reply) => {
            println!("received {:?}", String::from_utf8_lossy(&reply));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, message: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;

    stream
        .write_all(message.as_bytes())
        .with_context(|| format!("send to {addr}"))?;

    // The reply is as long as the message, but it may arrive in pieces.
    let mut reply = vec![0; message.len()];
    stream
        .read_exact(&mut reply)
        .with_context(|| format!("receive from {addr}"))?;
    Ok(reply)
}
// ANCHOR_END: run
