use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use connect_deadline::Connector;

/// More than a program that connects to a few hosts at a time will need.
const MAX_LOOKUPS: usize = 16;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let target = args.next().unwrap_or_else(|| "localhost:7001".to_string());
    let limit = args.next().unwrap_or_else(|| "2000".to_string());
    match run(&target, &limit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connect-deadline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(target: &str, limit: &str) -> Result<()> {
    let limit = limit
        .parse()
        .map(Duration::from_millis)
        .with_context(|| format!("{limit} is no number of milliseconds"))?;

    let connector = Connector::new(MAX_LOOKUPS);
    let start = Instant::now();
    let stream = connector.connect(target, limit)?;
    println!(
        "connected to {} in {:?}",
        stream.peer_addr()?,
        start.elapsed()
    );
    Ok(())
}
// ANCHOR_END: run
