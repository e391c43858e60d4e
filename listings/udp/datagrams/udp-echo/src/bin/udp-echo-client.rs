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
            eprintln!("udp-echo-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
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

    let mut buffer = vec![0; 65_535];
    for _ in 0..TRIES {
        socket
            .send_to(message.as_bytes(), server)
            .with_context(|| format!("send to {server}"))?;
        let answered = receive(&socket, server, &mut buffer)
            .with_context(|| format!("receive from {server}"))?;
        if let Some(n) = answered {
            buffer.truncate(n);
            return Ok(buffer);
        }
    }
    bail!("no answer from {server} to {TRIES} datagrams")
}

/// Waits for a datagram that comes from `server`; returns its
/// length, or `None` when `PATIENCE` is over.
fn receive(
    socket: &UdpSocket,
    server: SocketAddr,
    buffer: &mut [u8],
) -> io::Result<Option<usize>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv_from(buffer) {
            Ok((n, from)) if from == server => return Ok(Some(n)),
            // Anybody may send to this port. The deadline stays as it is.
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                ErrorKind::Interrupted => {}
                // What Windows says if nobody listens there.
                ErrorKind::ConnectionReset => {}
                _ => return Err(error),
            },
        }
    }
}
// ANCHOR_END: run
