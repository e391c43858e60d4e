use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pour::fill;

/// How long the server may leave no room for another byte, in milliseconds,
/// unless the last argument says otherwise.
const PATIENCE: u64 = 5000;

/// The largest write, in bytes: it needs a buffer of its size.
const LARGEST: u64 = 1 << 20;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7040".to_string());
    let mut number = |default: u64| match args.next() {
        Some(text) => {
            text.parse().with_context(|| format!("{text} as a number"))
        }
        None => Ok(default),
    };
    let result = (|| {
        let count = number(1_000_000)?;
        let size = number(1000)?;
        let pause = Duration::from_millis(number(0)?);
        let stay = Duration::from_millis(number(0)?);
        let patience = Duration::from_millis(number(PATIENCE)?.max(1));
        run(&addr, count, size, pause, stay, patience)
    })();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pour-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// Sends `count` bytes in writes of `size`, with a pause after each but the
/// last, and stays before it closes.
fn run(
    addr: &str,
    count: u64,
    size: u64,
    pause: Duration,
    stay: Duration,
    patience: Duration,
) -> Result<()> {
    ensure!(
        (1..=LARGEST).contains(&size),
        "{size} bytes a write: it must be from 1 to {LARGEST}"
    );
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(patience))?;
    // Each write leaves at once, so that the figures show each by itself.
    stream.set_nodelay(true)?;

    let mut buffer = vec![0; size as usize];
    let mut sent = 0;
    let mut slowest = Duration::ZERO;
    while sent < count {
        if sent > 0 {
            thread::sleep(pause);
        }
        let piece = &mut buffer[..size.min(count - sent) as usize];
        fill(sent, piece);
        let start = Instant::now();
        stream
            .write_all(piece)
            .with_context(|| format!("send to {addr}, after {sent} bytes"))?;
        slowest = slowest.max(start.elapsed());
        sent += piece.len() as u64;
    }
    let slowest = slowest.as_millis();
    println!("sent {sent} bytes, the slowest write took {slowest} ms");
    thread::sleep(stay);
    Ok(())
}
// ANCHOR_END: run
