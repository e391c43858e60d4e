use std::env;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7023".to_string());
    let count = args.next().unwrap_or_else(|| "3".to_string());
    match run(&addr, &count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backlog-clients: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, count: &str) -> Result<()> {
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let count: u8 = count
        .parse()
        .with_context(|| format!("{count} as a number of clients"))?;
    let mut streams = Vec::new();
    for number in 1..=count {
        match TcpStream::connect_timeout(&addr, Duration::from_millis(1500)) {
            Ok(stream) => {
                println!("{number}: connected");
                streams.push(stream);
            }
            Err(error) => println!("{number}: {error}"),
        }
    }
    Ok(())
}
// ANCHOR_END: run
