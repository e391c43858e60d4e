use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use carry::{HEADER, MAX_SIZE, MAX_TOTAL, message};

/// How long the receiver may take for its report, and for reading.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest pause. The receiver takes a longer silence for the end.
const MAX_PAUSE: u64 = 100_000; // microseconds

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carry-sender: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let arg = |place, default| args.get(place).map_or(default, String::as_str);
    let addr = arg(0, "127.0.0.1:7080");
    let load = Load {
        total: number(arg(2, "7"), 1..=MAX_TOTAL)?,
        size: number(arg(3, "100"), HEADER..=MAX_SIZE)?,
        pause: Duration::from_micros(number(arg(4, "20000"), 0..=MAX_PAUSE)?),
    };
    let peer = addr
        .to_socket_addrs()
        .with_context(|| format!("look up {addr}"))?
        .next()
        .with_context(|| format!("{addr} has no address"))?;
    let start = Instant::now();
    let arrived = match arg(1, "tcp") {
        "tcp" => over_tcp(peer, &load),
        "udp" => over_udp(peer, &load),
        other => bail!("{other} is neither tcp nor udp"),
    }
    .with_context(|| format!("carry to {addr}"))?;
    let took = start.elapsed().as_millis();
    println!("{arrived} of {} are there, {took} ms", load.total);
    Ok(())
}

struct Load {
    total: u32,
    size: usize,
    /// From the beginning of one message to that of the next.
    pause: Duration,
}

// ANCHOR: tcp
fn over_tcp(peer: SocketAddr, load: &Load) -> io::Result<u32> {
    let mut stream = TcpStream::connect_timeout(&peer, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Each message leaves at once, as it does over UDP.
    stream.set_nodelay(true)?;

    let start = Instant::now();
    for number in 1..=load.total {
        wait_until(start + load.pause * (number - 1));
        // A stream has no boundaries: each message is preceded by its length.
        let mut frame = (load.size as u16).to_be_bytes().to_vec();
        frame.extend(message(number, load.total, load.size));
        stream.write_all(&frame)?;
    }
    let mut report = [0; 4];
    stream.read_exact(&mut report)?;
    Ok(u32::from_be_bytes(report))
}
// ANCHOR_END: tcp

// ANCHOR: udp
fn over_udp(peer: SocketAddr, load: &Load) -> io::Result<u32> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;

    let start = Instant::now();
    for number in 1..=load.total {
        wait_until(start + load.pause * (number - 1));
        socket.send(&message(number, load.total, load.size))?;
    }
    receive_report(&socket)
}
// ANCHOR_END: udp

/// Both the messages and the report may be lost: then there is none.
fn receive_report(socket: &UdpSocket) -> io::Result<u32> {
    let until = Instant::now() + PATIENCE;
    let mut report = [0; 5]; // one more than wanted: a longer one is none
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no report"));
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut report) {
            Ok(4) => {
                let [a, b, c, d, _] = report;
                return Ok(u32::from_be_bytes([a, b, c, d]));
            }
            Ok(_) => {}
            // Out of time, or stopped and continued: the deadline knows.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                        | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// By the clock, and not by a sleep for each message: errors don't add up.
fn wait_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn number<T>(text: &str, allowed: std::ops::RangeInclusive<T>) -> Result<T>
where
    T: FromStr<Err = std::num::ParseIntError> + PartialOrd + std::fmt::Display,
{
    let number: T = text
        .parse()
        .with_context(|| format!("{text} as a number"))?;
    let (least, most) = allowed.into_inner();
    ensure!(
        least <= number && number <= most,
        "{number} is not within {least} and {most}"
    );
    Ok(number)
}
