use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const QUESTION: &[u8] = b"who is there?";

/// The longest wait before an answer, in milliseconds.
const SPREAD: u64 = 100;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7072".to_string());
    let name = args.next().unwrap_or_else(|| "ann".to_string());
    match run(&addr, &name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roll-call-answerer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, name: &str) -> Result<()> {
    // An answer that is longer than its question would help those who ask in
    // the name of somebody whom they want to flood.
    ensure!(name.len() <= QUESTION.len(), "the name {name} is too long");
    let socket =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", socket.local_addr()?);

    let mut buffer = vec![0; 65536]; // no datagram is longer
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((n, peer)) if buffer[..n] == *QUESTION => {
                thread::sleep(turn(name));
                match socket.send_to(name.as_bytes(), peer) {
                    Ok(_) => log(format_args!("{peer}: answered")),
                    Err(error) => log(format_args!("{peer}: {error}")),
                }
            }
            Ok((_, peer)) => log(format_args!("{peer}: no question")),
            // On Windows: an earlier peer has gone.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => {
                log(format_args!("receive: {error}"));
                // An error that lasts must not turn the loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// When it is this one's turn: a time that depends on the name. If all answered
/// in the same moment, some answers would find the asker's buffer full.
fn turn(name: &str) -> Duration {
    let sum = name.bytes().fold(0, |sum: u64, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    Duration::from_millis(sum % SPREAD)
}
// ANCHOR_END: run

/// Writes a line to the log. `eprintln!` would end the program with a panic
/// when the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
