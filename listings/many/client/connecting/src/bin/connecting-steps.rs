use std::env;
use std::fmt::Debug;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How long the connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7133")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connecting-steps: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let addr = lookup(addr)?;
    let domain = Domain::for_address(addr);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;

    say("connect", socket.connect(&addr.into()));
    say("  SO_ERROR", socket.take_error());
    say("  peer", peer(&socket));
    say("  write", (&socket).write(b"early"));

    let mut stream = mio::net::TcpStream::from_std(socket.into());
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    poll.registry()
        .register(&mut stream, Token(0), Interest::WRITABLE)?;
    poll.poll(&mut events, Some(PATIENCE))?;
    if events.is_empty() {
        bail!("connect to {addr}: no answer within {PATIENCE:?}");
    }

    let socket = SockRef::from(&stream);
    println!("writable");
    say("  SO_ERROR", socket.take_error());
    say("  SO_ERROR", socket.take_error());
    say("  peer", peer(&socket));
    Ok(())
}
// ANCHOR_END: run

fn peer(socket: &Socket) -> io::Result<Option<SocketAddr>> {
    Ok(socket.peer_addr()?.as_socket())
}

fn say(call: &str, result: io::Result<impl Debug>) {
    match result {
        Ok(value) => println!("{call}: Ok({value:?})"),
        Err(error) => println!("{call}: {error}"),
    }
}

fn lookup(addr: &str) -> Result<SocketAddr> {
    addr.to_socket_addrs()
        .with_context(|| format!("look up {addr}"))?
        .next()
        .with_context(|| format!("no address for {addr}"))
}
