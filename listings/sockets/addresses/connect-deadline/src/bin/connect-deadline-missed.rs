use std::env;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let target = args.next().unwrap_or_else(|| "localhost:7001".to_string());
    let limit = args.next().unwrap_or_else(|| "2000".to_string());
    let start = Instant::now();
    match run(&target, &limit) {
        Ok(stream) => {
            println!("connected to {target} in {:?}", start.elapsed());
            drop(stream);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!(
                "connect-deadline-missed: {error:#}, after {:?}",
                start.elapsed()
            );
            ExitCode::FAILURE
        }
    }
}

fn run(target: &str, limit: &str) -> Result<TcpStream> {
    let limit = limit
        .parse()
        .map(Duration::from_millis)
        .with_context(|| format!("{limit} is no number of milliseconds"))?;
    connect(target, limit).with_context(|| format!("connect to {target}"))
}

// ANCHOR: connect
/// Wrong: it may take much longer than `limit`.
fn connect(target: &str, limit: Duration) -> io::Result<TcpStream> {
    let mut last =
        io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
    for addr in target.to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
// ANCHOR_END: connect
