use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long a write may wait for room.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7100".to_string());
    let nagle = args.next().unwrap_or_else(|| "nagle".to_string());
    let mut steps: Vec<String> = args.collect();
    if steps.is_empty() {
        steps = ["left 10", "+100", "right 5"].map(String::from).to_vec();
    }
    match run(&addr, &nagle, &steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sticky-sender: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// Each step is a message, or a pause such as `+100`, in milliseconds.
fn run(addr: &str, nagle: &str, steps: &[String]) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    match nagle {
        "nagle" => {} // what every new socket has
        "nodelay" => stream.set_nodelay(true)?,
        other => bail!("{other} is neither nagle nor nodelay"),
    }
    for step in steps {
        let pause = step.strip_prefix('+').and_then(|ms| ms.parse().ok());
        if let Some(ms) = pause {
            thread::sleep(Duration::from_millis(ms));
            continue;
        }
        stream
            .write_all(step.as_bytes())
            .with_context(|| format!("send to {addr}"))?;
    }
    Ok(())
}
// ANCHOR_END: run
