use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long we hold the connection open.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7112".to_string());
    let length = args.next().unwrap_or_else(|| u32::MAX.to_string());
    let count = args.next().unwrap_or_else(|| "4".to_string());
    match run(&addr, &length, &count) {
        Ok(end) => {
            println!("{end}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("trusting-length-hostile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how it ended.
fn run(addr: &str, length: &str, count: &str) -> Result<&'static str> {
    let length = length
        .parse()
        .with_context(|| format!("{length} as a length"))?;
    let count = count
        .parse()
        .with_context(|| format!("{count} as a number of bytes"))?;
    ensure!(count <= 4, "a length has 4 bytes, not {count}");
    let stream = TcpStream::connect(addr);
    let stream = stream.with_context(|| format!("connect to {addr}"))?;
    announce(stream, length, count)
        .with_context(|| format!("announce to {addr}"))
}

// ANCHOR: announce
/// Announces a frame of `length` bytes, or sends only the first `count`
/// bytes of that number, and then nothing.
fn announce(
    mut stream: TcpStream,
    length: u32,
    count: usize,
) -> io::Result<&'static str> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&length.to_be_bytes()[..count])?;
    match stream.read(&mut [0]) {
        Ok(0) => Ok("the server closed the connection"),
        Ok(_) => Ok("the server answered"),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset => Ok("the server is gone"),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Ok("the server still waits")
            }
            _ => Err(error),
        },
    }
}
// ANCHOR_END: announce
