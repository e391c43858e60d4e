use std::env;
use std::io::Read;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest goodbye, in bytes.
const LIMIT: u64 = 1000;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7054")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("address-in-use-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut goodbye = String::new();
    stream
        .take(LIMIT)
        .read_to_string(&mut goodbye)
        .context("read")?;
    println!("the server says {goodbye:?}");
    Ok(())
}
// ANCHOR_END: run
