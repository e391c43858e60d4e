use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const PIECE: usize = 64 * 1024;

/// How much the client sends if nothing stops it.
const ALL: u64 = 64 * 1024 * 1024;

/// How long the client waits before it calls the way full.
const STUCK: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let how = env::args()
        .nth(1)
        .unwrap_or_else(|| "unbounded".to_string());
    match run(&how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("queue-growth: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(how: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("bind")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (stream, _) = listener.accept().context("accept")?;
    client.set_write_timeout(Some(STUCK))?;

    // A thread reads, and hands on what it read. Whoever works at the other end
    // of the queue is slow: in this run it does not come to take anything.
    let queued = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&queued);
    let (unbounded, _pieces) = mpsc::channel();
    let (bounded, _more) = mpsc::sync_channel(16);
    match how {
        "unbounded" => thread::spawn(move || {
            read_all(stream, &count, |piece| unbounded.send(piece).is_ok())
        }),
        "bounded" => thread::spawn(move || {
            read_all(stream, &count, |piece| bounded.send(piece).is_ok())
        }),
        other => bail!("{other}: neither unbounded nor bounded"),
    };

    let mut sent = 0;
    let mut before = 0;
    while sent < ALL {
        match client.write(&[0; PIECE]) {
            Ok(n) => sent += n as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                // On a busy machine the thread that reads may be late.
                let now = queued.load(Ordering::SeqCst);
                if now == before {
                    println!("the client is stuck: {error}");
                    break;
                }
                before = now;
            }
        }
    }
    println!("the client sent {} KiB", sent / 1024);
    println!("{} KiB in the queue", queued.load(Ordering::SeqCst) / 1024);
    Ok(())
}

/// Counts the bytes that `put` has taken.
fn read_all(
    mut stream: TcpStream,
    count: &AtomicU64,
    put: impl Fn(Vec<u8>) -> bool,
) {
    let mut buffer = vec![0; PIECE];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) if put(buffer[..n].to_vec()) => {
                count.fetch_add(n as u64, Ordering::SeqCst);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
// ANCHOR_END: run
