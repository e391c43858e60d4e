use std::collections::HashMap;
use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7161")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("small-loop-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
const LISTENER: Token = Token(0);

type Clients = HashMap<Token, (TcpStream, SocketAddr)>;

fn run(addr: &str) -> Result<()> {
    let addr = addr
        .parse()
        .with_context(|| format!("{addr} as an address"))?;
    let mut listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    let mut poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);

    let mut clients = Clients::new();
    let mut last = LISTENER;
    let mut events = Events::with_capacity(128);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(error).context("wait for events");
            }
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => {
                    accept(&listener, &registry, &mut clients, &mut last);
                }
                client => go_on(client, &mut clients),
            }
        }
    }
}
// ANCHOR_END: run

// ANCHOR: accept
/// Accepts until nobody is in the queue any more.
fn accept(
    listener: &TcpListener,
    registry: &Registry,
    clients: &mut Clients,
    last: &mut Token,
) {
    loop {
        let (mut stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => return log(format_args!("accept: {error}")),
        };
        *last = Token(last.0 + 1);
        match registry.register(&mut stream, *last, Interest::READABLE) {
            Ok(()) => {
                log(format_args!("{peer}: connected"));
                clients.insert(*last, (stream, peer));
            }
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: echo
fn go_on(client: Token, clients: &mut Clients) {
    let Some((stream, peer)) = clients.get_mut(&client) else {
        return;
    };
    match echo(stream) {
        // Nothing to do at the moment.
        Err(error) if error.kind() == ErrorKind::WouldBlock => return,
        Err(error) => log(format_args!("{peer}: {error}")),
        Ok(()) => log(format_args!("{peer}: closed")),
    }
    clients.remove(&client);
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => stream.write_all(&buffer[..n])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
// ANCHOR_END: echo

/// Writes a line to the log, and does without if that is impossible.
fn log(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
