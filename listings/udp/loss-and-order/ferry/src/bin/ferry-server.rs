use std::env;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ferry::Receiver;
use ferry::receiver::Step;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7071".to_string());
    let folder = args.next().unwrap_or_else(|| "target/ferry".to_string());
    match run(&addr, Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferry-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("make the folder {}", folder.display()))?;
    let socket =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", socket.local_addr()?);

    let mut receiver = Receiver::default();
    let mut buffer = vec![0; 65536]; // no datagram is longer
    loop {
        socket.set_read_timeout(receiver.deadline().map(time_left))?;
        let received = socket.recv_from(&mut buffer);
        let now = Instant::now();
        if let Some(peer) = receiver.on_deadline(now) {
            log(format_args!("{peer}: given up"));
        }
        let (n, peer) = match received {
            Ok(received) => received,
            Err(error) => {
                may_go_on(&error);
                continue;
            }
        };
        let reply = match receiver.on_datagram(peer, &buffer[..n], now) {
            Step::Ignore => continue,
            Step::Reply(reply) => Some(reply),
            Step::Store(file) => match store(folder, &file) {
                Ok(()) => {
                    log(format_args!("{peer}: stored {} bytes", file.len()));
                    receiver.stored(Instant::now())
                }
                Err(error) => {
                    log(format_args!("{peer}: {error:#}"));
                    receiver.not_stored()
                }
            },
        };
        let Some(reply) = reply else { continue };
        if let Err(error) = socket.send_to(&reply, peer) {
            log(format_args!("{peer}: {error}"));
        }
    }
}
// ANCHOR_END: run

// ANCHOR: store
/// The peer chooses neither a name nor a folder.
fn store(folder: &Path, file: &[u8]) -> Result<()> {
    let part = folder.join("received.part");
    let whole = folder.join("received");
    let write = || -> io::Result<()> {
        let mut output = File::create(&part)?;
        output.write_all(file)?;
        output.sync_all()
    };
    write().with_context(|| format!("write {}", part.display()))?;
    // Readers find the old file or the new one, never a part of one.
    fs::rename(&part, &whole)
        .with_context(|| format!("rename to {}", whole.display()))?;
    // A name is a part of its folder, and has to reach the disk too.
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.with_context(|| format!("sync {}", folder.display()))?;
    }
    Ok(())
}
// ANCHOR_END: store

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

/// A timeout of zero would be an error.
fn time_left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
