//! Broken on purpose: it believes every length. One client can end it.

use std::env;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7112")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trusting-length-server: {error:#}");
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
        log(format_args!("{peer}: connected"));
        match receive(stream) {
            Ok(payload) => {
                log(format_args!("{peer}: length {}", payload.len()))
            }
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
}

// ANCHOR: receive
fn receive(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let length = u32::from_be_bytes(prefix) as usize;
    let mut payload = vec![0; length]; // as much as a stranger says
    stream.read_exact(&mut payload)?;
    Ok(payload)
}
// ANCHOR_END: receive

fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
