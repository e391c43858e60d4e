use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use frames::{Decoder, Framing};

/// The longest frame that is taken, in bytes.
const LIMIT: usize = 64 * 1024;

/// How long a client may take for a frame, unless the third argument says
/// otherwise.
const PATIENCE: u64 = 10_000; // milliseconds

/// A longer frame is not printed, only its length.
const PRINTED: usize = 60; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7110".to_string());
    let framing = args.next().unwrap_or_else(|| "u32".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match run(&addr, &framing, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frames-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, framing: &str, patience: &str) -> Result<()> {
    let framing: Framing = framing
        .parse()
        .with_context(|| format!("{framing} as a framing"))?;
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
                log(format_args!("accept: {error}"));
                // An error that lasts must not make this loop a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        match receive(stream, peer, framing, patience) {
            Ok(count) => log(format_args!("{peer}: closed after {count}")),
            Err(error) => log(format_args!("{peer}: {error:#}")),
        }
    }
}

// ANCHOR: receive
/// Takes frames until the peer closes; returns how many.
fn receive(
    mut stream: TcpStream,
    peer: SocketAddr,
    framing: Framing,
    patience: Duration,
) -> Result<u64> {
    let mut decoder = Decoder::new(framing, LIMIT);
    let mut count = 0;
    let mut deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no whole frame within {patience:?}");
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(decoder.space()) {
            Ok(0) => {
                decoder.finish()?;
                return Ok(count);
            }
            Ok(n) => decoder.filled(n),
            Err(error) if passes(&error) => continue,
            Err(error) => return Err(error.into()),
        }
        while let Some(frame) = decoder.next_frame()? {
            show(peer, frame);
            count += 1;
            deadline = Instant::now() + patience;
        }
    }
}

/// Stopped and continued, or out of time: the deadline knows.
fn passes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
    )
}
// ANCHOR_END: receive

fn show(peer: SocketAddr, frame: &[u8]) {
    let length = frame.len();
    if length > PRINTED {
        return log(format_args!("{peer}: frame of {length} bytes"));
    }
    // Quoted, so that a peer can't send commands to our terminal.
    let text = String::from_utf8_lossy(frame);
    log(format_args!("{peer}: frame {text:?}"));
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
