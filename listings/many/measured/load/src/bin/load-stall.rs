use std::env;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How many clients are served at once.
const CLIENTS: usize = 64;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7210".to_string());
    let stall = args.next().unwrap_or_else(|| "200".to_string());
    match run(&addr, &stall) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load-stall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An echo server that stands still: once a second, for so many milliseconds.
fn run(addr: &str, stall: &str) -> Result<()> {
    let stall: u16 = stall
        .parse()
        .with_context(|| format!("{stall} as a number of milliseconds"))?;
    let stall = Duration::from_millis(stall.min(1000).into());
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    // ANCHOR: stall
    // Whoever answers holds it for reading, and a stall for writing.
    let running = Arc::new(RwLock::new(()));
    let gate = Arc::clone(&running);
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1) - stall);
            let held = gate.write();
            thread::sleep(stall);
            drop(held);
        }
    });
    // ANCHOR_END: stall
    let places = Arc::new(());
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if Arc::strong_count(&places) > CLIENTS {
            log(format_args!("{peer}: one too many"));
            continue;
        }
        let (place, gate) = (Arc::clone(&places), Arc::clone(&running));
        let started = thread::Builder::new().spawn(move || {
            let _place = place;
            if let Err(error) = echo(stream, &gate) {
                log(format_args!("{peer}: {error}"));
            }
        });
        if let Err(error) = started {
            log(format_args!("{peer}: {error}"));
        }
    }
}

fn echo(mut stream: TcpStream, running: &RwLock<()>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        let running = running.read();
        stream.write_all(&buffer[..n])?;
        drop(running);
    }
}

fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
