use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7021")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("asleep-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    println!("connected to {}", stream.peer_addr()?);
    stream
        .write_all(b"hello")
        .with_context(|| format!("send to {addr}"))?;
    println!("sent 5 bytes");
    Ok(())
}
// ANCHOR_END: run
