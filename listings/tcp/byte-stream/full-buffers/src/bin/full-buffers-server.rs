use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel is asked for, so that the buffer is soon full.
const RECEIVE_BUFFER: usize = 8192; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7033".to_string());
    let busy = args.next().unwrap_or_else(|| "1000".to_string());
    match run(&addr, &busy) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("full-buffers-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, busy: &str) -> Result<()> {
    let busy = busy
        .parse()
        .map(Duration::from_millis)
        .with_context(|| format!("{busy} as milliseconds"))?;
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let listener = listen(addr)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, peer)) => match receive(stream, busy) {
                Ok(n) => log(format_args!("{peer}: {n} bytes in all")),
                Err(error) => log(format_args!("{peer}: {error}")),
            },
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: receive
fn receive(stream: TcpStream, busy: Duration) -> io::Result<u64> {
    stream.set_read_timeout(Some(PATIENCE))?;
    log(format_args!("busy for {busy:?}"));
    thread::sleep(busy);
    log("reads");
    io::copy(&mut &stream, &mut io::sink())
}
// ANCHOR_END: receive

// ANCHOR: listen
/// A listener whose connections have a small receive buffer. It is set before
/// `listen`, because the handshake agrees on how the window is counted.
fn listen(addr: SocketAddr) -> Result<TcpListener> {
    let domain = Domain::for_address(addr);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket
        .bind(&addr.into())
        .with_context(|| format!("bind {addr}"))?;
    socket
        .listen(128)
        .with_context(|| format!("listen on {addr}"))?;
    Ok(socket.into())
}
// ANCHOR_END: listen

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
