use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Long enough for each byte to travel alone.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7032".to_string());
    let text = args.next().unwrap_or_else(|| "粘".to_string());
    match run(&addr, &text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("split-utf8-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, text: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    for byte in text.bytes() {
        stream
            .write_all(&[byte])
            .with_context(|| format!("send to {addr}"))?;
        thread::sleep(PAUSE);
    }
    Ok(())
}
// ANCHOR_END: run
