use std::env;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// How long the server may take to make room.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the kernel is asked for, so that the buffer is soon full.
const SEND_BUFFER: usize = 4096; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7033".to_string());
    let size = args.next().unwrap_or_else(|| "1000000".to_string());
    match run(&addr, &size) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("full-buffers-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, size: &str) -> Result<()> {
    let size: u32 = size
        .parse()
        .with_context(|| format!("{size} as a number of bytes"))?;
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let stream = connect(addr).with_context(|| format!("connect to {addr}"))?;
    let payload: Vec<u8> = (0..=250).cycle().take(size as usize).collect();
    send(&stream, &payload).with_context(|| format!("send to {addr}"))
}

// ANCHOR: send
fn send(mut stream: &TcpStream, payload: &[u8]) -> Result<()> {
    // Where a blocking `write` would wait for room, this one returns.
    stream.set_nonblocking(true)?;
    let mut rest = payload;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(taken) => {
                println!("write took {taken} of {} bytes", rest.len());
                rest = &rest[taken..];
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("no room, {} bytes are left", rest.len());

    stream.set_nonblocking(false)?;
    stream.write_all(rest)?;
    stream.shutdown(Shutdown::Write)?;
    println!("write_all sent them");
    Ok(())
}
// ANCHOR_END: send

// ANCHOR: connect
/// Connects with a small send buffer.
fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let domain = Domain::for_address(addr);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.connect_timeout(&addr.into(), PATIENCE)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}
// ANCHOR_END: connect
