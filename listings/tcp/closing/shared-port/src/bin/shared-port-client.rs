use std::collections::BTreeMap;
use std::env;
use std::io::Read;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the server may take to say its name.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest name, in bytes.
const LIMIT: u64 = 100;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7055".to_string());
    let count = args.next().unwrap_or_else(|| "100".to_string());
    match run(&addr, &count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shared-port-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, count: &str) -> Result<()> {
    let count: u16 = count
        .parse()
        .with_context(|| format!("{count} as a number of connections"))?;
    let mut names: BTreeMap<String, u16> = BTreeMap::new();
    for _ in 0..count {
        let stream = TcpStream::connect(addr)
            .with_context(|| format!("connect to {addr}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut name = String::new();
        stream
            .take(LIMIT)
            .read_to_string(&mut name)
            .with_context(|| format!("read from {addr}"))?;
        *names.entry(name).or_default() += 1;
    }
    for (name, count) in names {
        println!("{name} answered {count} times");
    }
    Ok(())
}
// ANCHOR_END: run
