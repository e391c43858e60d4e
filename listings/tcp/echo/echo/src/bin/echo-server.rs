use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a client may neither send nor read, unless the second argument says
/// otherwise.
const PATIENCE: u64 = 60_000; // milliseconds

// ANCHOR: main
fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7001".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match run(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
// ANCHOR_END: main

// ANCHOR: listen
fn run(addr: &str, patience: &str) -> Result<()> {
    let patience: NonZeroU32 = patience
        .parse()
        .with_context(|| format!("{patience} as a number of milliseconds"))?;
    let patience = Duration::from_millis(patience.get().into());
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    // ANCHOR_END: listen

    // ANCHOR: accept
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        log(format_args!("{peer}: connected"));
        match echo(stream, patience) {
            Ok(count) => {
                log(format_args!("{peer}: closed after {count} bytes"))
            }
            // The first is what Unix says, the second what Windows says.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                ) =>
            {
                log(format_args!("{peer}: no progress for {patience:?}"))
            }
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
    // ANCHOR_END: accept
}

// ANCHOR: echo
/// Sends back what arrives until the peer closes its side; returns how many
/// bytes that was.
fn echo(mut stream: TcpStream, patience: Duration) -> io::Result<u64> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut buffer = [0; 1024];
    let mut count = 0;
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(n) => n,
            // This process was stopped and goes on; the client did nothing.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        stream.write_all(&buffer[..n])?;
        count += n as u64;
    }
}
// ANCHOR_END: echo

// ANCHOR: log
/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written: the disk is full, or nobody reads the pipe.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
// ANCHOR_END: log
