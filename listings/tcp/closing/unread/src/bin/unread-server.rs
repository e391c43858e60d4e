use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long the client may send nothing, or take nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest note, in bytes.
const LIMIT: u64 = 1000;
// ANCHOR: limits
/// What is thrown away at most, and for how long.
const DRAIN_BYTES: u64 = 1_000_000;
const DRAIN_TIME: Duration = Duration::from_secs(1);
// ANCHOR_END: limits

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7052".to_string());
    let how = args.next().unwrap_or_else(|| "close".to_string());
    match run(&addr, &how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unread-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, how: &str) -> Result<()> {
    let drains = match how {
        "close" => false,
        "drain" => true,
        _ => bail!("{how} is neither close nor drain"),
    };
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, peer)) => match serve(stream, drains) {
                Ok(reply) => log(format_args!("{peer}: {reply}")),
                Err(error) => log(format_args!("{peer}: {error:#}")),
            },
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: serve
/// Reads a note, or as much of it as is allowed, and replies.
fn serve(mut stream: TcpStream, drains: bool) -> Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut note = Vec::new();
    BufReader::new((&stream).take(LIMIT))
        .read_until(b'\n', &mut note)
        .context("read the note")?;
    let reply = match note.last() {
        Some(b'\n') => format!("thank you for {} bytes", note.len()),
        _ => "too long".to_string(),
    };
    stream.write_all(reply.as_bytes()).context("reply")?;
    if drains {
        drain(stream).context("drain")?;
    }
    Ok(reply)
}
// ANCHOR_END: serve

// ANCHOR: drain
/// Ends our side, and throws away what comes until the peer ends its own.
fn drain(mut stream: TcpStream) -> Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let deadline = Instant::now() + DRAIN_TIME;
    let mut buffer = [0; 4096];
    let mut count = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no end after {DRAIN_TIME:?}");
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => count += n as u64,
            // A signal, or the time is up: the next round sees.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted
                        | ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(count <= DRAIN_BYTES, "no end after {count} bytes");
    }
}
// ANCHOR_END: drain

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
