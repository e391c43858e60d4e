use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use mio::{Events, Interest, Poll, Token};

/// How long each selector is asked, again and again.
const TIME: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wake-ups: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut peer = TcpStream::connect(listener.local_addr()?)?;
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(true)?;
    peer.write_all(b"Hello")?;
    // Waits until the five bytes are here, and leaves them there.
    while stream.peek(&mut [0; 5]).is_err() {}

    println!("five bytes wait, and nobody reads them:");
    println!("  level {:8} times", level(&stream, Interest::READABLE)?);
    println!("  edge  {:8} times", edge(&stream, Interest::READABLE)?);
    println!("there is room to write, and nobody has anything to say:");
    println!("  level {:8} times", level(&stream, Interest::WRITABLE)?);
    println!("  edge  {:8} times", edge(&stream, Interest::WRITABLE)?);
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: edge
/// How often `mio` tells that the socket is ready.
fn edge(stream: &TcpStream, interest: Interest) -> Result<u32> {
    let mut stream = mio::net::TcpStream::from_std(stream.try_clone()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut stream, Token(0), interest)?;
    let mut events = Events::with_capacity(8);
    let mut times = 0;
    let start = Instant::now();
    while let Some(left) = TIME.checked_sub(start.elapsed()) {
        poll.poll(&mut events, Some(left))?;
        times += events.iter().count() as u32;
    }
    Ok(times)
}
// ANCHOR_END: edge

// ANCHOR: level
/// How often `poll(2)` tells that the socket is ready.
#[cfg(unix)]
fn level(stream: &TcpStream, interest: Interest) -> Result<u32> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let flags = if interest.is_readable() {
        PollFlags::IN
    } else {
        PollFlags::OUT
    };
    let mut times = 0;
    let start = Instant::now();
    while let Some(left) = TIME.checked_sub(start.elapsed()) {
        let mut sockets = [PollFd::new(stream, flags)];
        let left = Timespec::try_from(left)?;
        times += poll(&mut sockets, Some(&left))? as u32;
    }
    Ok(times)
}
// ANCHOR_END: level

#[cfg(not(unix))]
fn level(_: &TcpStream, _: Interest) -> Result<u32> {
    anyhow::bail!("this program needs the poll(2) of Unix")
}
