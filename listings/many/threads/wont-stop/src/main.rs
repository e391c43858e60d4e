use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7150".to_string());
    match run(&addr, args.next().as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wont-stop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, how: Option<&str>) -> Result<()> {
    let wakes = match how {
        None => false,
        Some("wake") => true,
        Some(other) => bail!("{other}: neither nothing nor wake"),
    };
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    let local = listener.local_addr()?;

    let stopping = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopping);
    ctrlc::set_handler(move || {
        flag.store(true, Ordering::SeqCst);
        log("told to stop");
        if wakes {
            wake(local);
        }
    })
    .context("handle signals")?;
    println!("listening on {local}");

    while !stopping.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((_stream, peer)) => log(format_args!("{peer}: connected")),
            Err(error) => {
                log(format_args!("accept: {error}"));
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
    log("stopped");
    Ok(())
}

/// Connects to ourselves, so that `accept` returns.
fn wake(addr: SocketAddr) {
    if let Err(error) =
        TcpStream::connect_timeout(&addr, Duration::from_secs(1))
    {
        log(format_args!("connect to {addr}: {error}"));
    }
}
// ANCHOR_END: run

fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
