use std::env;
use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut addrs: Vec<String> = env::args().skip(1).collect();
    if addrs.is_empty() {
        addrs.push("127.0.0.1:0".to_string());
    }
    match run(&addrs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("addresses-listen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// Listens on each address, says where that is, and ends.
fn run(addrs: &[String]) -> Result<()> {
    let mut listeners = Vec::new(); // each keeps its port until the end
    for addr in addrs {
        let listener =
            TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
        println!("listening on {}", listener.local_addr()?);
        listeners.push(listener);
    }
    Ok(())
}
// ANCHOR_END: run
