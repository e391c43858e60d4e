use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7140".to_string());
    let name = args.next().unwrap_or_else(|| "dora".to_string());
    match run(&addr, &name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-deaf: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// Joins, and never reads.
fn run(addr: &str, name: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream
        .write_all(format!("{name}\n").as_bytes())
        .with_context(|| format!("send to {addr}"))?;
    thread::sleep(Duration::from_secs(3600));
    Ok(())
}
// ANCHOR_END: run
