use std::env;
use std::net::UdpSocket;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7061".to_string());
    let messages: Vec<String> = args.collect();
    match run(&addr, &messages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-sender: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, messages: &[String]) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("bind")?;
    for message in messages {
        let n = socket
            .send_to(message.as_bytes(), addr)
            .with_context(|| format!("send to {addr}"))?;
        println!("sent {n} bytes");
    }
    Ok(())
}
// ANCHOR_END: run
