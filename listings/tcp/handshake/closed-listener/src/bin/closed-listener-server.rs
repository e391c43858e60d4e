use std::env;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the client may take to write, and then to close.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7024")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("closed-listener-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);

    let (mut stream, peer) = listener.accept().context("accept")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 80];
    let n = stream
        .read(&mut buffer)
        .with_context(|| format!("read from {peer}"))?;
    println!("got {n} bytes");

    drop(listener);
    println!("no longer listening");
    stream
        .write_all(b"still here\n")
        .with_context(|| format!("write to {peer}"))?;
    // Whoever closes first is another chapter; here it is the client.
    let _end = stream.read(&mut buffer)?;
    Ok(())
}
// ANCHOR_END: run
