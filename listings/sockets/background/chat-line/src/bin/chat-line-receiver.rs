use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a client may take for its line, unless the second argument says
/// otherwise, and how long the line may be.
const PATIENCE: u64 = 10_000; // milliseconds
const LONGEST: usize = 1024;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7011".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match run(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-line-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, patience: &str) -> Result<()> {
    let patience: NonZeroU32 = patience
        .parse()
        .with_context(|| format!("{patience} as a number of milliseconds"))?;
    let patience = Duration::from_millis(patience.get().into());
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                say(io::stderr(), format_args!("accept: {error}"));
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        match receive_line(stream, patience) {
            Ok(line) => {
                // Quoted, so that a peer can't send commands to our terminal.
                let line = String::from_utf8_lossy(&line);
                say(io::stdout(), format_args!("{peer}: {line:?}"));
            }
            Err(error) => say(io::stderr(), format_args!("{peer}: {error}")),
        }
    }
}

/// Unlike `println!`, goes on when nobody reads what is written.
fn say(mut output: impl Write, line: impl Display) {
    let _ = writeln!(output, "{line}");
}

/// The bytes before the first newline, within `patience`, at most `LONGEST`.
fn receive_line(
    mut stream: TcpStream,
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut line = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let n = match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            // Stopped and continued, or out of time: the deadline knows.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted
                        | ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        let end = buffer[..n].iter().position(|&byte| byte == b'\n');
        line.extend_from_slice(&buffer[..end.unwrap_or(n)]);
        if line.len() > LONGEST {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "line too long",
            ));
        }
        if end.is_some() {
            return Ok(line);
        }
    }
}
// ANCHOR_END: run
