use std::env;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7002".to_string());
    let message = args.next().unwrap_or_else(|| "Hello, world".to_string());
    match run(&addr, &message) {
        Ok(reply) => {
            println!("received {:?}", String::from_utf8_lossy(&reply));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo-socket2-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, message: &str) -> Result<Vec<u8>> {
    let peer: SocketAddr =
        addr.parse().with_context(|| format!("address {addr}"))?;
    let mut socket = Socket::new(
        Domain::for_address(peer),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket
        .connect(&peer.into())
        .with_context(|| format!("connect to {addr}"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;

    socket
        .write_all(message.as_bytes())
        .with_context(|| format!("send to {addr}"))?;

    let mut reply = vec![0; message.len()];
    socket
        .read_exact(&mut reply)
        .with_context(|| format!("receive from {addr}"))?;
    Ok(reply)
}
// ANCHOR_END: run
