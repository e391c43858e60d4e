use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context, Result};

/// How many clients are served at once.
const CLIENTS: usize = 1000;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7160")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("busy-loop-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);

    let mut clients: Vec<Client> = Vec::new();
    loop {
        if clients.len() < CLIENTS {
            match accept(&listener) {
                Ok(client) => clients.push(client),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => log(format_args!("accept: {error}")),
            }
        }
        clients.retain_mut(|client| match client.echo() {
            Ok(open) => open,
            Err(error) => {
                log(format_args!("{}: {error}", client.peer));
                false
            }
        });
    }
}
// ANCHOR_END: run

struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    bytes: usize,
    reads: u64,
}

fn accept(listener: &TcpListener) -> io::Result<Client> {
    let (stream, peer) = listener.accept()?;
    // On Linux the socket that `accept` returns is blocking.
    stream.set_nonblocking(true)?;
    log(format_args!("{peer}: connected"));
    Ok(Client {
        stream,
        peer,
        bytes: 0,
        reads: 0,
    })
}

impl Client {
    // ANCHOR: echo
    /// Asks the socket once; returns whether the client is still there.
    fn echo(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 1024];
        self.reads += 1;
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                let Client {
                    peer, bytes, reads, ..
                } = self;
                log(format_args!("{peer}: {bytes} bytes in {reads} reads"));
                Ok(false)
            }
            Ok(n) => {
                self.bytes += n;
                self.stream.write_all(&buffer[..n])?;
                Ok(true)
            }
            // Nothing at the moment. On to the next client.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }
    // ANCHOR_END: echo
}

/// Writes a line to the log, and does without if that is impossible.
fn log(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
