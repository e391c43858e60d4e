#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{self, Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::SockRef;

/// Far longer than a process takes to start.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let child = env::args().nth(1).as_deref() == Some("serve");
    match if child { serve() } else { hand_over() } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("four-tuple-handover: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// Parent: binds the port, gives the socket away, and becomes a client.
#[cfg(unix)]
fn hand_over() -> Result<()> {
    let listener =
        TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    describe(listener.as_raw_fd(), &listener)?;

    // The socket becomes the child's standard input, and is closed here.
    let mut child = Command::new(env::current_exe()?)
        .arg("serve")
        .stdin(OwnedFd::from(listener))
        .spawn()
        .context("start the child")?;

    let stream = TcpStream::connect(addr);
    let stream = stream.with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reply = String::new();
    stream
        .take(100)
        .read_to_string(&mut reply)
        .context("receive")?;
    println!("process {}: {addr} says {reply:?}", process::id());
    if !child.wait()?.success() {
        bail!("the child failed");
    }
    Ok(())
}

/// Child: a server that never called bind.
#[cfg(unix)]
fn serve() -> Result<()> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    describe(io::stdin().as_raw_fd(), &listener)?;
    // On Linux the limit for reading is also the limit for accept.
    SockRef::from(&listener).set_read_timeout(Some(PATIENCE))?;
    let (mut stream, _) = listener.accept().context("accept")?;
    let reply = format!("I am process {}", process::id());
    stream.write_all(reply.as_bytes()).context("reply")
}

/// On Linux, /proc says which object of the kernel a descriptor stands for.
fn describe(descriptor: i32, listener: &TcpListener) -> Result<()> {
    let object = fs::read_link(format!("/proc/self/fd/{descriptor}"));
    let object =
        object.map_or("?".to_string(), |link| link.display().to_string());
    let (process, addr) = (process::id(), listener.local_addr()?);
    println!("process {process}: descriptor {descriptor} is {object}, {addr}");
    Ok(())
}
// ANCHOR_END: run

#[cfg(not(unix))]
fn hand_over() -> Result<()> {
    bail!("handing a socket over like this needs a Unix system")
}

#[cfg(not(unix))]
fn serve() -> Result<()> {
    hand_over()
}
