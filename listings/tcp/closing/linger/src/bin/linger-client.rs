use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::SockRef;

/// How long the server may take nothing.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7056".to_string());
    let seconds = args.next();
    match run(&addr, seconds.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("linger-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, seconds: Option<&str>) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if let Some(seconds) = seconds {
        let linger: u16 = seconds
            .parse()
            .with_context(|| format!("{seconds} as a number of seconds"))?;
        let linger = Duration::from_secs(linger.into());
        SockRef::from(&stream).set_linger(Some(linger))?;
    }
    stream.write_all(b"last words").context("write")?;

    let start = Instant::now();
    drop(stream);
    println!("closed, after {} ms", start.elapsed().as_millis());
    Ok(())
}
// ANCHOR_END: run
