#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::io::{self, ErrorKind, Read};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

/// Everything was sent before we read, so there is nothing to wait for.
const PATIENCE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-sockets-pairs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
#[cfg(unix)]
fn run() -> Result<()> {
    for (name, kind) in [
        ("STREAM", Type::STREAM),
        ("DGRAM", Type::DGRAM),
        ("SEQPACKET", Type::SEQPACKET),
    ] {
        let reads =
            exchange(kind).with_context(|| format!("pair of {name}"))?;
        println!("{name}: {}", reads.join(", "));
    }
    Ok(())
}

/// Sends two messages and closes; returns what each read of the other end gave.
#[cfg(unix)]
fn exchange(kind: Type) -> io::Result<Vec<String>> {
    let (sender, mut receiver) = Socket::pair(Domain::UNIX, kind, None)?;
    sender.send(b"lunch")?;
    sender.send(b"at noon")?;
    drop(sender);

    receiver.set_read_timeout(Some(PATIENCE))?;
    let mut reads = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match receiver.read(&mut buffer) {
            Ok(0) => reads.push("end".to_string()),
            Ok(n) => {
                reads.push(format!(
                    "{:?}",
                    String::from_utf8_lossy(&buffer[..n])
                ));
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                reads.push("silence".to_string());
            }
            Err(error) => return Err(error),
        }
        return Ok(reads);
    }
}
// ANCHOR_END: run

#[cfg(not(unix))]
fn run() -> Result<()> {
    anyhow::bail!("socket2 makes pairs on Unix systems only")
}
