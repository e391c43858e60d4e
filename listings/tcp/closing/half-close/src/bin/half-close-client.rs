use std::env;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the server may think.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const LIMIT: u64 = 1000;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7051")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("half-close-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"How long is this?").context("ask")?;
    stream
        .shutdown(Shutdown::Write)
        .context("end the question")?;
    println!("the question has ended");

    let mut answer = String::new();
    stream
        .take(LIMIT)
        .read_to_string(&mut answer)
        .context("read the answer")?;
    println!("{answer:?}");
    Ok(())
}
// ANCHOR_END: run
