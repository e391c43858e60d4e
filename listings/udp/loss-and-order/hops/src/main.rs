use std::env;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a datagram and its answer may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Hardly a host is farther away than this.
const MOST: u32 = 30;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    let addr = addr.unwrap_or_else(|| "127.0.0.1:7075".to_string());
    match run(&addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hops: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let addr: SocketAddrV4 = addr
        .parse()
        .with_context(|| format!("{addr} as an IPv4 address and a port"))?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Connected, so that it is told when nobody listens at the port.
    socket.connect(addr)?;
    for ttl in 1..=MOST {
        socket.set_ttl(ttl)?;
        match ask(&socket)? {
            Some(answer) => {
                println!("{ttl}: {answer}");
                return Ok(());
            }
            None => println!("{ttl}: nothing comes back"),
        }
    }
    bail!("{addr} does not answer");
}

/// What comes back for a datagram.
fn ask(socket: &UdpSocket) -> Result<Option<&'static str>> {
    let by = Instant::now() + PATIENCE;
    let mut buffer = [0; 64];
    match socket.send(b"hello") {
        Ok(_) => {}
        // Linux reports here what an earlier datagram has met.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            return Ok(Some("the host answers that nobody listens there"));
        }
        Err(error) => return Err(error).context("send"),
    }
    loop {
        let left = by.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        return match socket.recv(&mut buffer) {
            Ok(_) => Ok(Some("the program there answers")),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => {
                    Ok(Some("the host answers that nobody listens there"))
                }
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(None),
                ErrorKind::Interrupted => continue,
                _ => Err(error).context("receive"),
            },
        };
    }
}
// ANCHOR_END: run
