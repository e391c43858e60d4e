//! Broken on purpose: it takes each read for a message.

use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7113")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("each-read-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        match receive(stream, peer) {
            Ok(()) => log(format_args!("{peer}: closed")),
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
}

// ANCHOR: receive
fn receive(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1024];
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let message = String::from_utf8_lossy(&buffer[..n]); // is it one?
        log(format_args!("{peer}: {message:?}"));
    }
}
// ANCHOR_END: receive

fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
