//! Serves one client through an io_uring, and ends.
#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;

use anyhow::{Context, Result};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};

// ANCHOR: run
pub fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    let mut ring = IoUring::new(8).context("set up an io_uring")?;

    let listening = Fd(listener.as_raw_fd());
    let accept =
        opcode::Accept::new(listening, ptr::null_mut(), ptr::null_mut());
    // SAFETY: this request has no memory of ours.
    let number = unsafe { complete(&mut ring, accept.build()) };
    let number = number.context("accept")?;
    // SAFETY: the kernel made this descriptor for us, and nobody else has it.
    let stream = unsafe { TcpStream::from_raw_fd(number) };

    let connected = Fd(stream.as_raw_fd());
    let mut buffer = [0; 1024];
    loop {
        let room = buffer.len() as u32;
        let receive = opcode::Recv::new(connected, buffer.as_mut_ptr(), room);
        // SAFETY: `buffer` is there, and untouched, until this returns.
        let count = unsafe { complete(&mut ring, receive.build()) };
        let count = count.context("receive")? as usize;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let length = rest.len() as u32;
            let send = opcode::Send::new(connected, rest.as_ptr(), length);
            // SAFETY: the same.
            let sent = unsafe { complete(&mut ring, send.build()) };
            rest = &rest[sent.context("send")? as usize..];
        }
    }
}
// ANCHOR_END: run

// ANCHOR: complete
/// Makes one request, and waits until it has completed.
///
/// # Safety
///
/// The memory that the request names must be valid until this returns.
unsafe fn complete(
    ring: &mut IoUring,
    request: squeue::Entry,
) -> io::Result<i32> {
    // SAFETY: promised by the caller; and this returns no earlier.
    unsafe { ring.submission().push(&request) }.map_err(io::Error::other)?;
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Nobody could say whether the kernel still uses the memory.
            Err(error) => panic!("io_uring_enter: {error}"),
            Ok(_) => {}
        }
        let Some(completion) = ring.completion().next() else {
            continue;
        };
        return match completion.result() {
            result @ 0.. => Ok(result),
            error => Err(io::Error::from_raw_os_error(-error)),
        };
    }
}
// ANCHOR_END: complete
