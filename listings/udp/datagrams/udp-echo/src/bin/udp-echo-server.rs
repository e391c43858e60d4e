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
    match run(addr.as_deref().unwrap_or("127.0.0.1:7060")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("udp-echo-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let socket =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", socket.local_addr()?);

    // No datagram is longer than this, so none is cut off.
    let mut buffer = vec![0; 65_535];
    loop {
        let (n, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) => {
                log(format_args!("receive: {error}"));
                // On Windows this is an answer that found nobody. Any other
                // error may last, and this loop must not become a busy one.
                if error.kind() != ErrorKind::ConnectionReset {
                    thread::sleep(Duration::from_millis(100));
                }
                continue;
            }
        };
        match socket.send_to(&buffer[..n], peer) {
            Ok(_) => log(format_args!("{peer}: {n} bytes")),
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
}
// ANCHOR_END: run

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written: the disk is full, or nobody reads the pipe.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
