use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the receiver may keep us waiting.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7011".to_string());
    let message = args
        .next()
        .unwrap_or_else(|| "ann: lunch at noon?".to_string());
    match run(&addr, &message) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-line-sender: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, message: &str) -> Result<()> {
    let stream = TcpStream::connect(addr);
    let mut stream = stream.with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // One write for the text and its newline: two could become two segments.
    stream
        .write_all(format!("{message}\n").as_bytes())
        .with_context(|| format!("send to {addr}"))
}
// ANCHOR_END: run
