use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// How long the other side may take to connect, and then to answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let peer = args.next().unwrap_or_else(|| "127.0.0.1:7058".to_string());
    let local = args.next().unwrap_or_else(|| peer.clone());
    match run(&local, &peer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simultaneous-open: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(local: &str, peer: &str) -> Result<()> {
    let mut stream = connect(address(local)?, address(peer)?)?;
    println!("{} to {}", stream.local_addr()?, stream.peer_addr()?);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello").context("write")?;
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).context("read")?;
    let greeting = String::from_utf8_lossy(&greeting);
    println!("the other side says {greeting:?}");
    Ok(())
}

/// Connects from a port that the other side knows. Nobody listens.
fn connect(local: SocketAddr, peer: SocketAddr) -> Result<TcpStream> {
    let domain = Domain::for_address(local);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket
        .bind(&local.into())
        .with_context(|| format!("bind {local}"))?;
    socket
        .connect_timeout(&peer.into(), PATIENCE)
        .with_context(|| format!("connect to {peer}"))?;
    Ok(socket.into())
}
// ANCHOR_END: run

fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .with_context(|| format!("{text} as an address and a port"))
}
