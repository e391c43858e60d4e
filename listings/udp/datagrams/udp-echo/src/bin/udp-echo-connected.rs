use std::env;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often the client asks, and how long it waits each time.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7060".to_string());
    let message = args.next().unwrap_or_else(|| "Hello, world".to_string());
    match run(&addr, &message) {
        Ok(reply) => {
            println!("received {:?}", String::from_utf8_lossy(&reply));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("udp-echo-connected: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, message: &str) -> Result<Vec<u8>> {
    let server = addr
        .to_socket_addrs()
        .with_context(|| format!("look up {addr}"))?
        .next()
        .with_context(|| format!("{addr} has no address"))?;
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).context("bind")?;
    socket
        .connect(server)
        .with_context(|| format!("connect to {server}"))?;

    let mut buffer = vec![0; 65_535];
    let mut refused = false;
    for _ in 0..TRIES {
        send(&socket, message.as_bytes())
            .with_context(|| format!("send to {server}"))?;
        let answered = receive(&socket, &mut buffer, &mut refused)
            .with_context(|| format!("receive from {server}"))?;
        if let Some(n) = answered {
            buffer.truncate(n);
            return Ok(buffer);
        }
    }
    if refused {
        bail!("nobody listens at {server}, it says");
    }
    bail!("no answer from {server} to {TRIES} datagrams")
}

// ANCHOR: refused
/// Sends a datagram. If the call says that an earlier one was
/// refused, this one has not been sent yet.
fn send(socket: &UdpSocket, message: &[u8]) -> io::Result<usize> {
    match socket.send(message) {
        Err(error) if is_refusal(&error) => socket.send(message),
        done => done,
    }
}

/// The first is what Unix says, the second what Windows says.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}

/// Waits for a datagram; returns its length, or `None` when
/// `PATIENCE` is over. Being refused does not end the waiting: a
/// server may be about to start.
fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    refused: &mut bool,
) -> io::Result<Option<usize>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(buffer) {
            Ok(n) => return Ok(Some(n)),
            Err(error) if is_refusal(&error) => *refused = true,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}
// ANCHOR_END: refused
