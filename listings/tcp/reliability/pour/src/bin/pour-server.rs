use std::env;
use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use pour::first_wrong;

/// How long the server waits before it reads, and how long a client may then
/// be silent, in milliseconds, unless the arguments say otherwise.
const PAUSE: u64 = 0;
const PATIENCE: u64 = 60_000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7040".to_string());
    let pause = args.next().unwrap_or_else(|| PAUSE.to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match run(&addr, &pause, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pour-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, pause: &str, patience: &str) -> Result<()> {
    let pause = milliseconds(pause, 0)?;
    // A timeout of zero would be an error at the first client.
    let patience = milliseconds(patience, 1)?;
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                let end = swallow(stream, pause, patience);
                log(format_args!("{peer}: {end}"));
            }
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: swallow
/// Reads until the client closes, and checks each byte.
fn swallow(mut stream: TcpStream, pause: Duration, patience: Duration) -> End {
    if let Err(error) = stream.set_read_timeout(Some(patience)) {
        return End::Failed(error, 0);
    }
    thread::sleep(pause);
    let mut buffer = [0; 65536];
    let mut count = 0;
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => return End::Closed(count),
            Ok(n) => n,
            // This process was stopped and goes on; the client did nothing.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // The first is what Unix says, the second what Windows says.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                ) =>
            {
                return End::Silent(patience, count);
            }
            Err(error) => return End::Failed(error, count),
        };
        if let Some(offset) = first_wrong(count, &buffer[..n]) {
            return End::Wrong(offset);
        }
        count += n as u64;
    }
}
// ANCHOR_END: swallow

/// What became of a client, with the number of bytes that were right.
enum End {
    Closed(u64),
    Silent(Duration, u64),
    Failed(io::Error, u64),
    /// The offset of a byte that is another than was sent there.
    Wrong(u64),
}

impl Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed(count) => {
                write!(f, "{count} bytes, each at its place")
            }
            End::Silent(patience, count) => {
                write!(f, "no word for {patience:?}, after {count} bytes")
            }
            End::Failed(error, count) => {
                write!(f, "{error}, after {count} bytes")
            }
            End::Wrong(offset) => write!(f, "a wrong byte at {offset}"),
        }
    }
}

fn milliseconds(text: &str, least: u32) -> Result<Duration> {
    let number: u32 = text
        .parse()
        .ok()
        .filter(|number| *number >= least)
        .with_context(|| format!("{text} as milliseconds, at least {least}"))?;
    Ok(Duration::from_millis(number.into()))
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
