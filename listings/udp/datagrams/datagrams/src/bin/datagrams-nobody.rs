use std::env;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7062")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-nobody: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("bind")?;
    let n = socket
        .send_to(b"anybody there?", addr)
        .with_context(|| format!("send to {addr}"))?;
    println!("sent {n} bytes");

    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    match socket.recv_from(&mut [0; 80]) {
        Ok((n, from)) => println!("received {n} bytes from {from}"),
        Err(error) => println!("received nothing: {error}"),
    }
    Ok(())
}
// ANCHOR_END: run
