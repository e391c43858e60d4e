use std::env;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the client may do nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than fits into the receive buffer of the client.
const ANSWER: usize = 8_000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7151".to_string());
    match run(&addr, args.next().as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stop-reading-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, how: Option<&str>) -> Result<()> {
    let stops_reading = match how {
        None => true,
        Some("reads-on") => false,
        Some(other) => bail!("{other}: neither nothing nor reads-on"),
    };
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);

    let (mut stream, peer) = listener.accept().context("accept")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 80];
    let n = stream
        .read(&mut buffer)
        .with_context(|| format!("read from {peer}"))?;
    println!("asked with {n} bytes");
    stream
        .write_all(&[b'.'; ANSWER])
        .with_context(|| format!("write to {peer}"))?;
    println!("answered with {ANSWER} bytes");

    // From here on it is a server that stops.
    if stops_reading {
        stream.shutdown(Shutdown::Read)?;
        stream.shutdown(Shutdown::Write)?;
        // The connection stays open, but there is nothing to wait for: a
        // read returns at once.
        thread::sleep(Duration::from_secs(2));
    } else {
        stream.shutdown(Shutdown::Write)?;
        while stream.read(&mut buffer)? > 0 {}
    }
    Ok(())
}
// ANCHOR_END: run
