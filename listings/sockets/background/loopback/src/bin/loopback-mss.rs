#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::env;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context, Result};
use socket2::SockRef;

fn main() -> ExitCode {
    match run(env::args().nth(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loopback-mss: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
#[cfg(unix)]
fn run(addr: Option<String>) -> Result<()> {
    // Without an argument, a server of our own: it need not even call accept.
    let listener =
        TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1:0")?;
    let addr = match addr {
        Some(addr) => addr,
        None => listener.local_addr()?.to_string(),
    };
    let stream = TcpStream::connect(&addr)
        .with_context(|| format!("connect to {addr}"))?;
    let limit = SockRef::from(&stream)
        .tcp_mss()
        .context("read TCP_MAXSEG")?;
    println!("to {addr}: at most {limit} bytes a segment");
    Ok(())
}
// ANCHOR_END: run

#[cfg(not(unix))]
fn run(_: Option<String>) -> Result<()> {
    anyhow::bail!("socket2 reads TCP_MAXSEG on Unix systems only")
}
