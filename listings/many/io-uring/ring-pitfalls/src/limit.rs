//! A server that wants two connections, and ten clients that wait.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use anyhow::{Context, Result};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

/// How many connections the server wants to have.
const LIMIT: usize = 2;

// ANCHOR: run
pub fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("bind")?;
    let addr = listener.local_addr()?;
    let clients: Result<Vec<TcpStream>, _> =
        (0..10).map(|_| TcpStream::connect(addr)).collect();
    let _clients = clients.context("connect")?;
    let listening = Fd(listener.as_raw_fd());

    let all = opcode::AcceptMulti::new(listening).build();
    let count = accept(&[all])?;
    println!("one request for all:       {count} connections");

    let clients: Result<Vec<TcpStream>, _> =
        (0..10).map(|_| TcpStream::connect(addr)).collect();
    let _clients = clients.context("connect")?;
    let one = opcode::Accept::new(listening, ptr::null_mut(), ptr::null_mut());
    let count = accept(&vec![one.build(); LIMIT])?;
    println!("a request for each of two: {count} connections");
    Ok(())
}

/// Makes these requests, once; returns how many connections that brought.
fn accept(requests: &[io_uring::squeue::Entry]) -> Result<usize> {
    let mut ring = IoUring::new(8).context("set up an io_uring")?;
    // SAFETY: these requests have no memory of ours.
    unsafe { ring.submission().push_multiple(requests) }
        .context("queue full")?;
    ring.submit_and_wait(LIMIT).context("accept")?;
    // Only now could the server count, and say that it has enough.
    let accepted: Vec<OwnedFd> = ring
        .completion()
        .map(|done| done.result())
        .filter(|result| *result >= 0)
        // SAFETY: the kernel made this descriptor for us.
        .map(|number| unsafe { OwnedFd::from_raw_fd(number) })
        .collect();
    Ok(accepted.len())
}
// ANCHOR_END: run
