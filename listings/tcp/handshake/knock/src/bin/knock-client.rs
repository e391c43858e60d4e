use std::env;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long the server may take to close.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7022".to_string());
    let limit = args.next();
    let start = Instant::now();
    match run(&addr, limit.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let after = start.elapsed().as_millis();
            eprintln!("knock-client: {error:#}, after {after} ms");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, limit: Option<&str>) -> Result<()> {
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let limit = match limit {
        Some(limit) => Some(
            limit
                .parse()
                .map(Duration::from_millis)
                .with_context(|| format!("{limit} as milliseconds"))?,
        ),
        None => None,
    };
    let start = Instant::now();
    let mut stream = knock(addr, limit)?;
    let after = start.elapsed().as_millis();
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    println!("connected {local} to {peer}, after {after} ms");

    // The server closes first.
    stream.set_read_timeout(Some(PATIENCE))?;
    let count = stream
        .read(&mut [0])
        .with_context(|| format!("read from {peer}"))?;
    ensure!(count == 0, "{peer} sent something");
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: knock
fn knock(addr: SocketAddr, limit: Option<Duration>) -> Result<TcpStream> {
    let connected = match limit {
        Some(limit) => TcpStream::connect_timeout(&addr, limit),
        None => TcpStream::connect(addr),
    };
    connected.with_context(|| format!("connect to {addr}"))
}
// ANCHOR_END: knock
