use std::env;
use std::fmt::Display;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ferry::Sender;
use ferry::datagram::MAX_LENGTH;
use ferry::sender::Step;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7071".to_string());
    let path = args.next().unwrap_or_else(|| "Cargo.toml".to_string());
    match run(&addr, &path, args.next().as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferry-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// With a number for the transfer, two runs are alike and say what they send.
fn run(addr: &str, path: &str, transfer: Option<&str>) -> Result<()> {
    let file = read(path).with_context(|| format!("read {path}"))?;
    let length = file.len();
    let number = match transfer {
        Some(number) => number
            .parse()
            .with_context(|| format!("{number} as a transfer's number"))?,
        None => random(),
    };
    let start = Instant::now();
    let mut sender = Sender::new(number, file, start)?;
    send(addr, &mut sender, transfer.is_some())
        .with_context(|| format!("send to {addr}"))?;
    println!(
        "{length} bytes in {} blocks, {} sent again, {} ms",
        sender.blocks(),
        sender.repeated(),
        start.elapsed().as_millis()
    );
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: send
fn send(addr: &str, sender: &mut Sender, verbose: bool) -> Result<()> {
    let socket = connect(addr)?;
    let mut buffer = vec![0; 65536]; // no datagram is longer
    let mut step = sender.start(Instant::now());
    loop {
        match step {
            Step::Delivered => return Ok(()),
            Step::Failed(failure) => return Err(failure.into()),
            Step::Send(datagram) => {
                let (number, tries) = sender.outstanding();
                if verbose || tries > 1 {
                    log_step(number, tries);
                }
                // One that can't be sent is lost, and lost ones come again.
                let _ = socket.send(&datagram);
            }
            Step::Wait => {}
        }
        socket.set_read_timeout(Some(time_left(sender.deadline())))?;
        let received = socket.recv(&mut buffer);
        let now = Instant::now();
        step = match received {
            Ok(n) => sender.on_datagram(&buffer[..n], now),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock
                | ErrorKind::TimedOut
                | ErrorKind::Interrupted => sender.on_deadline(now),
                // Such as ConnectionRefused: nobody has that port.
                _ => return Err(error.into()),
            },
        };
    }
}
// ANCHOR_END: send

/// Connected, so that the kernel throws away what comes from anybody else.
fn connect(addr: &str) -> Result<UdpSocket> {
    let peer = addr.to_socket_addrs()?.next().context("no address")?;
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => "0.0.0.0:0".parse()?,
        SocketAddr::V6(_) => "[::]:0".parse()?,
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket)
}

fn read(path: &str) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let most = MAX_LENGTH as u64;
    File::open(path)?.take(most + 1).read_to_end(&mut file)?;
    ensure!(file.len() <= MAX_LENGTH, "more than {most} bytes");
    Ok(file)
}

// ANCHOR: random
/// `RandomState` takes its keys from the system's generator.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
// ANCHOR_END: random

/// A timeout of zero would be an error.
fn time_left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

fn log_step(number: u32, tries: u32) {
    let again = if tries > 1 { ", again" } else { "" };
    match number {
        0 => log(format_args!("offer{again}")),
        _ => log(format_args!("block {number}{again}")),
    }
}

/// Writes a line to the log, if it can be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
