use std::collections::HashMap;
use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7162".to_string());
    let mode = args.next().unwrap_or_else(|| "once".to_string());
    match run(&addr, &mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deaf-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

const LISTENER: Token = Token(0);

type Clients = HashMap<Token, (TcpStream, SocketAddr)>;

fn run(addr: &str, mode: &str) -> Result<()> {
    let drain = match mode {
        "once" => false,
        "drain" => true,
        _ => bail!("{mode} is neither once nor drain"),
    };
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
                client => go_on(client, &mut clients, drain),
            }
        }
    }
}

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

fn go_on(client: Token, clients: &mut Clients, drain: bool) {
    let Some((stream, peer)) = clients.get_mut(&client) else {
        return;
    };
    match echo(stream, drain) {
        // Nothing to do at the moment.
        Err(error) if error.kind() == ErrorKind::WouldBlock => return,
        Err(error) => log(format_args!("{peer}: {error}")),
        Ok(()) => log(format_args!("{peer}: closed")),
    }
    clients.remove(&client);
}

// ANCHOR: drain
fn echo(stream: &mut TcpStream, drain: bool) -> io::Result<()> {
    let mut buffer = [0; 8];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => stream.write_all(&buffer[..n])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if !drain {
            // It goes on with the next event. Will there be one?
            return Err(ErrorKind::WouldBlock.into());
        }
    }
}
// ANCHOR_END: drain

/// Writes a line to the log, and does without if that is impossible.
fn log(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
