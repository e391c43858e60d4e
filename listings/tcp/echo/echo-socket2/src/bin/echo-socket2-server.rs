use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// How long a client may keep the others waiting without sending or reading.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7002")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-socket2-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str) -> Result<()> {
    let listener = listen(addr).with_context(|| format!("listen on {addr}"))?;
    println!("listening on {}", socket_addr(&listener.local_addr()?)?);

    loop {
        let (socket, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        // A client that has gone already may have left no address.
        let Some(peer) = peer.as_socket() else {
            continue;
        };
        log(format_args!("{peer}: connected"));
        match echo(socket) {
            Ok(count) => {
                log(format_args!("{peer}: closed after {count} bytes"))
            }
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
}

// ANCHOR: listen
/// What `TcpListener::bind` does on Unix, one call a line.
fn listen(addr: &str) -> Result<Socket> {
    let addr: SocketAddr = addr.parse()?;
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(128)?;
    Ok(socket)
}
// ANCHOR_END: listen

fn socket_addr(addr: &socket2::SockAddr) -> Result<SocketAddr> {
    addr.as_socket().context("neither IPv4 nor IPv6")
}

/// Sends back what arrives until the peer closes its side; returns how many
/// bytes that was.
fn echo(mut socket: Socket) -> io::Result<u64> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1024];
    let mut count = 0;
    loop {
        let n = match socket.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(n) => n,
            // This process was stopped and goes on; the client did nothing.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        socket.write_all(&buffer[..n])?;
        count += n as u64;
    }
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
