use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{self, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

/// Far longer than eight bytes take inside one host.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("four-tuple: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let listener =
        TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1:0")?;
    let addr = listener.local_addr()?;

    let mut ann = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    let (mut for_ann, _) = listener.accept()?;
    let mut bob = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    let (mut for_bob, _) = listener.accept()?;

    println!("process {}, listening on {addr}", process::id());
    describe("Ann", &ann)?;
    describe("server, for Ann", &for_ann)?;
    describe("Bob", &bob)?;
    describe("server, for Bob", &for_bob)?;

    bob.write_all(b"I am Bob").context("send as Bob")?;
    ann.write_all(b"I am Ann").context("send as Ann")?;
    println!("from Ann's connection: {}", receive(&mut for_ann)?);
    println!("from Bob's connection: {}", receive(&mut for_bob)?);
    Ok(())
}

fn describe(name: &str, stream: &TcpStream) -> Result<()> {
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    println!(
        "{name}: descriptor {}, local {local}, peer {peer}",
        number(stream)
    );
    Ok(())
}
// ANCHOR_END: run

fn receive(stream: &mut TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut message = [0; 8];
    stream.read_exact(&mut message).context("receive")?;
    Ok(String::from_utf8_lossy(&message).into_owned())
}

/// The number by which this process knows the socket.
#[cfg(unix)]
fn number(stream: &TcpStream) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(stream)
}

#[cfg(windows)]
fn number(stream: &TcpStream) -> u64 {
    std::os::windows::io::AsRawSocket::as_raw_socket(stream) as u64
}
