use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("four-tuple-same-port: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let bakery =
        TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1:0")?;
    let library =
        TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1:0")?;

    let first = client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let here = first
        .local_addr()?
        .as_socket()
        .context("not an IP address")?;
    let second = client(here)?;
    let third = client(here)?;

    let there = bakery.local_addr()?;
    first.connect(&there.into()).context("first connection")?;
    println!("{here} to {there}: connected");

    let there = library.local_addr()?;
    second.connect(&there.into()).context("second connection")?;
    println!("{here} to {there}: connected");

    let there = bakery.local_addr()?;
    match third.connect(&there.into()) {
        Err(error) => println!("{here} to {there}: {error}"),
        Ok(()) => bail!("two connections have the same four numbers"),
    }
    Ok(())
}

/// A client's socket that takes its port before it connects, and lets others
/// have it too.
fn client(addr: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket
        .bind(&addr.into())
        .with_context(|| format!("bind {addr}"))?;
    Ok(socket)
}
// ANCHOR_END: run
