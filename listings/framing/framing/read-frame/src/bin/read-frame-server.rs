use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a client may take for a frame, unless the second argument says
/// otherwise.
const PATIENCE: u64 = 10_000; // milliseconds

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7111".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match run(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("read-frame-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

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
                log(format_args!("accept: {error}"));
                // An error that lasts must not make this loop a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        match receive(&stream, peer, patience) {
            Ok(count) => log(format_args!("{peer}: closed after {count}")),
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
}

fn receive(
    stream: &TcpStream,
    peer: SocketAddr,
    patience: Duration,
) -> io::Result<u64> {
    let mut count = 0;
    loop {
        let deadline = Instant::now() + patience;
        let mut stream = Within { stream, deadline };
        let Some(payload) = read_frame(&mut stream)? else {
            return Ok(count);
        };
        count += 1;
        let text = String::from_utf8_lossy(&payload);
        log(format_args!("{peer}: frame {text:?}"));
    }
}

// ANCHOR: read-frame
/// The longest frame that is taken, in bytes.
const LIMIT: usize = 64 * 1024;

/// The payload of the next frame, or `None` at the end of the stream.
fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    // The stream may end before a frame, and nowhere else.
    loop {
        match stream.read(&mut prefix[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
    }
    stream.read_exact(&mut prefix[1..])?;

    let length = u32::from_be_bytes(prefix) as usize;
    if length > LIMIT {
        let said = format!("a frame of {length} bytes, the limit is {LIMIT}");
        return Err(io::Error::new(ErrorKind::InvalidData, said));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok(Some(payload))
}
// ANCHOR_END: read-frame

// ANCHOR: within
/// Reads from a stream until a point in time, however many reads that takes.
struct Within<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Within<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let now = Instant::now();
            let left = self.deadline.saturating_duration_since(now);
            if left.is_zero() {
                let said = "no whole frame within the deadline";
                return Err(io::Error::new(ErrorKind::TimedOut, said));
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(buffer) {
                // Stopped and continued, or out of time: look at the clock.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted
                            | ErrorKind::WouldBlock
                            | ErrorKind::TimedOut
                    ) => {}
                done => return done,
            }
        }
    }
}
// ANCHOR_END: within

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
