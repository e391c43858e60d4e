use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The longest line, in bytes.
const LONGEST: u64 = 512;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7200")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-naive: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    let room = Arc::new(Room::default());
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let room = room.clone();
        let started = thread::Builder::new().spawn(move || {
            log(format_args!("{peer}: connected"));
            match serve(&room, stream, peer) {
                Ok(()) => log(format_args!("{peer}: closed")),
                Err(error) => log(format_args!("{peer}: {error}")),
            }
        });
        if let Err(error) = started {
            log(format_args!("{peer}: no thread: {error}"));
        }
    }
}

// ANCHOR: room
/// The streams of all members.
#[derive(Default)]
struct Room(Mutex<Vec<(SocketAddr, TcpStream)>>);

/// Sends each line of one member to all others.
fn serve(room: &Room, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    room.lock().push((peer, stream.try_clone()?));
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let n = (&mut reader).take(LONGEST).read_until(b'\n', &mut line);
        if !matches!(n, Ok(n) if n > 0) {
            room.lock().retain(|(member, _)| *member != peer);
            return n.map(|_| ());
        }
        // The mistake: who holds the lock waits for a peer.
        for (member, stream) in room.lock().iter_mut() {
            if *member != peer {
                let _ = stream.write_all(&line);
            }
        }
    }
}
// ANCHOR_END: room

impl Room {
    fn lock(&self) -> MutexGuard<'_, Vec<(SocketAddr, TcpStream)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a line to the log. `eprintln!` would end the thread with a panic
/// when the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
