use std::env;
use std::net::UdpSocket;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.255.255.255:7072")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roll-call-forgotten: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("bind 0.0.0.0:0")?;
    socket
        .send_to(b"who is there?", addr)
        .with_context(|| format!("ask {addr}"))?;
    println!("asked");
    Ok(())
}
// ANCHOR_END: run
