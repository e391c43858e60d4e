use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};

// ANCHOR: main
fn main() -> Result<()> {
    // The peer says nothing.
    let (_client, mut server) = pair()?;
    server.set_read_timeout(Some(Duration::from_millis(50)))?;
    let Err(error) = server.read(&mut [0; 16]) else {
        bail!("a reply out of nowhere");
    };
    println!("kind: {:?}", error.kind());
    println!("message: {error}");
    println!("TimedOut? {}", error.kind() == ErrorKind::TimedOut);
    println!("timed_out? {}", timed_out(&error));

    let Err(error) = server.set_read_timeout(Some(Duration::ZERO)) else {
        bail!("a timeout of zero");
    };
    println!("a timeout of zero: {:?}", error.kind());
    Ok(())
}

/// Whether a read or a write gave up waiting. Unix says `WouldBlock`, Windows
/// says `TimedOut`.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
// ANCHOR_END: main

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
