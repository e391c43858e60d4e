use std::env;
use std::fmt::Display;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use carry::{MAX_SIZE, Tally, parse};

/// Over UDP, messages are lost when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(300);

/// How long one sender may take.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Up to this many messages, each is printed.
const FEW: u32 = 20;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7080".to_string());
    let protocol = args.next().unwrap_or_else(|| "tcp".to_string());
    match run(&addr, &protocol) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carry-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, protocol: &str) -> Result<()> {
    match protocol {
        "tcp" => over_tcp(addr),
        "udp" => over_udp(addr),
        other => bail!("{other} is neither tcp nor udp"),
    }
}

fn over_tcp(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn the loop into a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if let Err(error) = serve(stream) {
            log(format_args!("{peer}: {error}"));
        }
    }
}

// ANCHOR: tcp
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let until = Instant::now() + MAX_TIME;
    stream.set_write_timeout(Some(MAX_TIME))?;
    let mut reader = BufReader::new(Patient {
        stream: stream.try_clone()?,
        until,
    });
    let mut current: Option<Tally> = None;
    loop {
        let mut length = [0; 2];
        reader.read_exact(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > MAX_SIZE {
            return Err(invalid("a message that is too long"));
        }
        let mut message = vec![0; length];
        reader.read_exact(&mut message)?;
        let (number, total) =
            parse(&message).ok_or_else(|| invalid("no message of ours"))?;

        let now = Instant::now();
        let tally = current.get_or_insert_with(|| Tally::new(total, now));
        if tally.total() != total {
            return Err(invalid("another total"));
        }
        take(tally, number, now);
        if tally.is_complete() {
            say(summary(tally));
            stream.write_all(&tally.arrived().to_be_bytes())?;
            return wait_for_end(&mut reader);
        }
    }
}
// ANCHOR_END: tcp

/// The sender closes first, so that no late message is answered by a reset.
fn wait_for_end(reader: &mut impl Read) -> io::Result<()> {
    match reader.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(invalid("more than was announced")),
    }
}

/// Reads until a moment, however many calls that takes.
struct Patient {
    stream: TcpStream,
    until: Instant,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(buffer) {
                // Out of time, or stopped and continued: the clock knows.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock
                            | ErrorKind::TimedOut
                            | ErrorKind::Interrupted
                    ) => {}
                done => return done,
            }
        }
    }
}

// ANCHOR: udp
fn over_udp(addr: &str) -> Result<()> {
    let socket =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", socket.local_addr()?);

    let mut buffer = vec![0; 65536]; // no datagram is longer
    let mut current: Option<(SocketAddr, Tally)> = None; // one at a time
    loop {
        let over = current.take_if(|(_, tally)| {
            tally.is_complete() || deadline(tally) <= Instant::now()
        });
        if let Some((peer, tally)) = over {
            say(summary(&tally));
            let report = tally.arrived().to_be_bytes();
            if let Err(error) = socket.send_to(&report, peer) {
                log(format_args!("{peer}: {error}"));
            }
        }
        let left = current.as_ref().map(|(_, tally)| {
            deadline(tally)
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1)) // zero would be an error
        });
        socket.set_read_timeout(left)?;
        let (n, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) => {
                may_go_on(&error);
                continue;
            }
        };
        let Some((number, total)) = parse(&buffer[..n]) else {
            log(format_args!("{peer}: no message of ours"));
            continue;
        };
        let now = Instant::now();
        let (of, tally) =
            current.get_or_insert_with(|| (peer, Tally::new(total, now)));
        if (*of, tally.total()) == (peer, total) {
            take(tally, number, now);
        } else {
            log(format_args!("{peer}: not now"));
        }
    }
}
// ANCHOR_END: udp

// ANCHOR: deadline
/// Over UDP nobody says that no more will come.
fn deadline(tally: &Tally) -> Instant {
    (tally.heard() + QUIET).min(tally.started() + MAX_TIME)
}
// ANCHOR_END: deadline

fn take(tally: &mut Tally, number: u32, now: Instant) {
    tally.take(number, now);
    if tally.total() <= FEW {
        let after = tally.took().as_millis();
        say(format_args!("message {number} after {after} ms"));
    }
}

fn summary(tally: &Tally) -> String {
    let took = tally.took().as_millis();
    format!("{} of {} in {took} ms", tally.arrived(), tally.total())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn may_go_on(error: &io::Error) {
    match error.kind() {
        // The deadline has come; or, on Windows, a peer has gone.
        ErrorKind::WouldBlock
        | ErrorKind::TimedOut
        | ErrorKind::Interrupted
        | ErrorKind::ConnectionReset => {}
        _ => {
            log(format_args!("receive: {error}"));
            // An error that lasts must not turn the loop into a busy one.
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Unlike `println!`, goes on when nobody reads what is written.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line to the log. `eprintln!` would end the program with a panic if
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
