use std::env;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How many answers are taken.
const MAX_ANSWERS: usize = 100;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7072".to_string());
    let patience = args.next().unwrap_or_else(|| "500".to_string());
    match run(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roll-call: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, patience: &str) -> Result<()> {
    let patience = patience
        .parse::<u32>()
        .map(|number| Duration::from_millis(number.into()))
        .with_context(|| format!("{patience} as milliseconds"))?;
    let socket = UdpSocket::bind("0.0.0.0:0").context("bind 0.0.0.0:0")?;
    socket.set_broadcast(true)?;
    socket
        .send_to(b"who is there?", addr)
        .with_context(|| format!("ask {addr}"))?;

    let deadline = Instant::now() + patience;
    let mut buffer = vec![0; 65536]; // no datagram is longer
    let mut answers = 0;
    while answers < MAX_ANSWERS {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv_from(&mut buffer) {
            Ok((n, peer)) => {
                // Anybody may answer: nothing but plain letters is printed.
                println!("{} at {peer}", buffer[..n].escape_ascii());
                answers += 1;
            }
            Err(error) if goes_on(&error) => {}
            Err(error) => return Err(error).context("receive"),
        }
    }
    println!("{answers} answered");
    Ok(())
}
// ANCHOR_END: run

/// The time is over; or, on Windows, nobody has the port.
fn goes_on(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionReset
    )
}
