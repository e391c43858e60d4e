use std::env;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7050")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hang-up-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.write_all(b"hello").context("write")?;
    println!("connected");
    wait_for_enter()?;
    drop(stream);
    println!("closed");
    Ok(())
}
// ANCHOR_END: run

/// Waits for the end of a line, or of the input.
fn wait_for_enter() -> Result<()> {
    let is_end =
        |byte: &io::Result<u8>| !matches!(byte, Ok(byte) if *byte != b'\n');
    match io::stdin().lock().bytes().find(is_end) {
        Some(Err(error)) => Err(error).context("read the keyboard"),
        _ => Ok(()),
    }
}
