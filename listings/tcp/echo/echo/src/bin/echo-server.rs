use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a client may keep the others waiting without sending or reading.
const PATIENCE: Duration = Duration::from_secs(60);

// ANCHOR: main
fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7001")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
// ANCHOR_END: main

// ANCHOR: listen
fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    // ANCHOR_END: listen

    // ANCHOR: accept
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("accept: {error}");
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        eprintln!("{peer}: connected");
        match echo(stream) {
            Ok(count) => eprintln!("{peer}: closed after {count} bytes"),
            Err(error) => eprintln!("{peer}: {error}"),
        }
    }
    // ANCHOR_END: accept
}

// ANCHOR: echo
/// Sends back what arrives until the peer closes its side; returns how many
/// bytes that was.
fn echo(mut stream: TcpStream) -> io::Result<u64> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1024];
    let mut count = 0;
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(count);
        }
        stream.write_all(&buffer[..n])?;
        count += n as u64;
    }
}
// ANCHOR_END: echo
