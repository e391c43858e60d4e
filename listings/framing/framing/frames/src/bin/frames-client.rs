use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use frames::Framing;

/// How long the server may keep us waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// After each piece, so that it travels in a segment of its own.
const PAUSE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7110".to_string());
    let framing = args.next().unwrap_or_else(|| "u32".to_string());
    let piece = args.next().unwrap_or_else(|| "all".to_string());
    let mut messages: Vec<String> = args.collect();
    if messages.is_empty() {
        messages.push("hello".to_string());
    }
    match run(&addr, &framing, &piece, &messages) {
        Ok(bytes) => {
            println!("sent {bytes} bytes, frames: {}", messages.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("frames-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    addr: &str,
    framing: &str,
    piece: &str,
    messages: &[String],
) -> Result<usize> {
    let framing: Framing = framing
        .parse()
        .with_context(|| format!("{framing} as a framing"))?;
    let piece = match piece {
        "all" => NonZeroUsize::MAX,
        size => size
            .parse()
            .with_context(|| format!("{size} as a number of bytes"))?,
    };
    let mut bytes = Vec::new();
    for message in messages {
        framing
            .encode(message.as_bytes(), &mut bytes)
            .with_context(|| format!("{message:?} for {addr}"))?;
    }

    let stream = TcpStream::connect(addr);
    let mut stream = stream.with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // A piece must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    for piece in bytes.chunks(piece.get()) {
        stream
            .write_all(piece)
            .with_context(|| format!("send to {addr}"))?;
        thread::sleep(PAUSE);
    }
    Ok(bytes.len())
}
