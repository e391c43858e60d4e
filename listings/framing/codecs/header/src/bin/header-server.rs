use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use header::{Kind, QUIET, read_message, write_message};

/// How long a client may take for a message, unless the second argument says
/// otherwise.
const PATIENCE: u64 = 10_000; // milliseconds

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7120".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match run(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("header-server: {error:#}");
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
        match serve(&stream, peer, patience) {
            Ok(count) => log(format_args!("{peer}: closed after {count}")),
            Err(error) => log(format_args!("{peer}: {error}")),
        }
    }
}

// ANCHOR: serve
/// Answers each request in upper case, until the peer closes; returns how
/// many messages there were.
fn serve(
    stream: &TcpStream,
    peer: SocketAddr,
    patience: Duration,
) -> io::Result<u64> {
    // Answers are whole messages: there is nothing to wait for.
    stream.set_nodelay(true)?;
    let mut count = 0;
    loop {
        let deadline = Instant::now() + patience;
        let mut stream = Within { stream, deadline };
        let Some((header, body)) = read_message(&mut stream)? else {
            return Ok(count);
        };
        count += 1;
        match header.kind {
            Kind::Ask if header.flags & QUIET != 0 => {}
            Kind::Ask => {
                let body = body.to_ascii_uppercase();
                write_message(&mut stream, Kind::Answer, 0, &body)?;
            }
            // The length tells where the next one begins.
            other => log(format_args!("{peer}: {other:?} is skipped")),
        }
    }
}
// ANCHOR_END: serve

/// Reads and writes until a point in time, however many calls that takes.
struct Within<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Within<'_> {
    fn call<T>(
        &self,
        set_timeout: fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut call: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let now = Instant::now();
            let left = self.deadline.saturating_duration_since(now);
            if left.is_zero() {
                let said = "no progress within the deadline";
                return Err(io::Error::new(ErrorKind::TimedOut, said));
            }
            set_timeout(self.stream, Some(left))?;
            match call(self.stream) {
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

impl Read for Within<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(TcpStream::set_read_timeout, |mut stream| {
            stream.read(buffer)
        })
    }
}

impl Write for Within<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call(TcpStream::set_write_timeout, |mut stream| {
            stream.write(bytes)
        })
    }

    // Without this one, the slices would be written one by one.
    fn write_vectored(
        &mut self,
        slices: &[io::IoSlice<'_>],
    ) -> io::Result<usize> {
        self.call(TcpStream::set_write_timeout, |mut stream| {
            stream.write_vectored(slices)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
