use std::env;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7062")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-refused: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("bind")?;
    socket
        .connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    for number in 1..=3 {
        match socket.send(format!("message {number}").as_bytes()) {
            Ok(n) => println!("message {number}: sent {n} bytes"),
            Err(error) => println!("message {number}: {error}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
// ANCHOR_END: run
