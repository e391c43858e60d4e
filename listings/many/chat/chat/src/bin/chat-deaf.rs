use std::env;
use std::io::Write;
use std::iter::once;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7140".to_string());
    let name = args.next().unwrap_or_else(|| "dora".to_string());
    let lines = args.next().unwrap_or_else(|| "0".to_string());
    match run(&addr, &name, &lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-deaf: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// Joins, says so many long lines, and never reads.
fn run(addr: &str, name: &str, lines: &str) -> Result<()> {
    let lines: u32 = lines
        .parse()
        .with_context(|| format!("{lines} as a number of lines"))?;
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    let line = "bla ".repeat(125);
    let said = once(name).chain((0..lines).map(|_| line.trim_end()));
    for line in said {
        stream
            .write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("send to {addr}"))?;
    }
    thread::sleep(Duration::from_secs(3600));
    Ok(())
}
// ANCHOR_END: run
