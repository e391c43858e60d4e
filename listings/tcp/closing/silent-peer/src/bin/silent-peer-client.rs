use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the server may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7057".to_string());
    let every = args.next();
    match run(&addr, every.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("silent-peer-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, every: Option<&str>) -> Result<()> {
    let every: Option<u32> = every
        .map(str::parse)
        .transpose()
        .context("the second argument as milliseconds")?;
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    println!("connected");
    let Some(every) = every else {
        thread::sleep(Duration::from_secs(3600));
        return Ok(());
    };
    loop {
        thread::sleep(Duration::from_millis(every.into()));
        stream.write_all(b".").context("send a heartbeat")?;
    }
}
// ANCHOR_END: run
