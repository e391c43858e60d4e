use std::env;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the server may keep us waiting.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7111".to_string());
    let mut messages: Vec<String> = args.collect();
    if messages.is_empty() {
        messages.push("hello".to_string());
    }
    match run(&addr, &messages) {
        Ok(()) => {
            println!("frames sent: {}", messages.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("read-frame-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, messages: &[String]) -> Result<()> {
    let stream = TcpStream::connect(addr);
    let mut stream = stream.with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for message in messages {
        write_frame(&mut stream, message.as_bytes())
            .with_context(|| format!("send to {addr}"))?;
    }
    Ok(())
}

// ANCHOR: write-frame
/// Sends the payload with its length in front, in one write.
fn write_frame(stream: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let mut frame = Vec::with_capacity(4 + payload.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    stream.write_all(&frame)
}
// ANCHOR_END: write-frame
