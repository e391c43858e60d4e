//! A buffer that is used again before the kernel has sent it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

// ANCHOR: run
pub fn run() -> Result<()> {
    println!("one buffer:  {:?}", two_lines(false)?);
    println!("its own one: {:?}", two_lines(true)?);
    Ok(())
}

/// Sends two lines to a peer that reads late; returns what it reads.
fn two_lines(own_buffer: bool) -> Result<String> {
    let (peer, stream) = pair()?;
    let filler = fill(&stream)?;
    let mut ring = IoUring::new(8).context("set up an io_uring")?;

    let mut buffer = *b"first\n";
    let mut second = *b"other\n";
    send(&mut ring, &stream, &buffer)?;
    if own_buffer {
        wait(&mut ring, &peer, filler)?;
        send(&mut ring, &stream, &second)?;
    } else {
        // `send` has returned, as `write` would have. But nothing is sent.
        buffer.copy_from_slice(&second);
        second.fill(b'-');
        wait(&mut ring, &peer, filler)?;
        send(&mut ring, &stream, &buffer)?;
    }
    ring.submit_and_wait(1).context("send")?;
    stream.shutdown(Shutdown::Write)?;
    let mut said = String::new();
    (&peer).read_to_string(&mut said)?;
    Ok(said)
}
// ANCHOR_END: run

// ANCHOR: send
/// Asks the kernel to send, and does not wait.
fn send(
    ring: &mut IoUring,
    stream: &TcpStream,
    buffer: &[u8; 6],
) -> Result<()> {
    let fd = Fd(stream.as_raw_fd());
    let send = opcode::Send::new(fd, buffer.as_ptr(), 6).build();
    // SAFETY: a false promise. `buffer` is borrowed for this call only, and
    // nothing stops the caller from changing it, or freeing it, afterwards.
    unsafe { ring.submission().push(&send) }.context("queue full")?;
    ring.submit().context("submit")?;
    Ok(())
}
// ANCHOR_END: send

/// The peer reads what filled the buffers; then the line can be sent.
fn wait(ring: &mut IoUring, peer: &TcpStream, filler: usize) -> Result<()> {
    let mut rest = vec![0; filler];
    (&*peer).read_exact(&mut rest)?;
    ring.submit_and_wait(1).context("send")?;
    match ring.completion().next().map(|done| done.result()) {
        Some(6) => Ok(()),
        other => bail!("send gave {other:?}"),
    }
}

/// Writes until nothing more fits: the next send has to wait.
fn fill(stream: &TcpStream) -> Result<usize> {
    stream.set_nonblocking(true)?;
    let mut filler = 0;
    loop {
        match (&*stream).write(&[b'.'; 65536]) {
            Ok(count) => filler += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("fill"),
        }
    }
    stream.set_nonblocking(false)?;
    Ok(filler)
}

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("bind")?;
    let peer = TcpStream::connect(listener.local_addr()?)?;
    peer.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (stream, _) = listener.accept()?;
    Ok((peer, stream))
}
