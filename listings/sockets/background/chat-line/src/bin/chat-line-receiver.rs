use std::env;
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a client may take for its line, and how long the line may be.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 1024;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7011")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-line-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("accept: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        match receive_line(stream) {
            // Quoted, so that a peer can't send commands to our terminal.
            Ok(line) => {
                println!("{peer}: {:?}", String::from_utf8_lossy(&line))
            }
            Err(error) => eprintln!("{peer}: {error}"),
        }
    }
}

/// The bytes before the first newline; a peer gets `PATIENCE` and `LONGEST`
/// for them.
fn receive_line(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut line = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
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
