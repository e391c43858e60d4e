use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7133")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connecting-guess: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let addr = lookup(addr)?;
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    poll.registry()
        .register(&mut stream, Token(0), Interest::WRITABLE)?;
    poll.poll(&mut events, Some(PATIENCE))?;
    if events.is_empty() {
        bail!("connect to {addr}: no answer within {PATIENCE:?}");
    }

    // A guess: it is writable, so it is connected.
    println!("connected to {addr}");
    stream
        .write_all(b"Hello")
        .with_context(|| format!("send to {addr}"))?;
    // ANCHOR_END: run

    poll.registry()
        .reregister(&mut stream, Token(0), Interest::READABLE)?;
    poll.poll(&mut events, Some(PATIENCE))?;
    ensure!(!events.is_empty(), "{addr}: no reply within {PATIENCE:?}");
    let n = stream
        .read(&mut [0; 64])
        .with_context(|| format!("receive from {addr}"))?;
    println!("received {n} bytes");
    Ok(())
}

fn lookup(addr: &str) -> Result<SocketAddr> {
    addr.to_socket_addrs()
        .with_context(|| format!("look up {addr}"))?
        .next()
        .with_context(|| format!("no address for {addr}"))
}
