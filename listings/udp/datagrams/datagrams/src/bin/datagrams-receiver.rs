use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7061")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let socket =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", socket.local_addr()?);

    let mut buffer = vec![0; 65_535];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((n, _)) if n <= 40 => {
                let text = String::from_utf8_lossy(&buffer[..n]);
                log(format_args!("received {n} bytes: {text:?}"));
            }
            Ok((n, _)) => log(format_args!("received {n} bytes")),
            Err(error) => {
                log(format_args!("receive: {error}"));
                if error.kind() != ErrorKind::ConnectionReset {
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}
// ANCHOR_END: run

/// Writes a line to the log. `eprintln!` would end this with a panic when
/// the log can't be written: the disk is full, or nobody reads the pipe.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
