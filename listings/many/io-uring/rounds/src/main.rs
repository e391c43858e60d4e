use std::env;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const DEADLINE: Duration = Duration::from_secs(10);
const MESSAGE: [u8; 64] = [b'm'; 64];

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7135".to_string());
    let connections = args.next().unwrap_or_else(|| "100".to_string());
    let rounds = args.next().unwrap_or_else(|| "10".to_string());
    match run(&addr, &connections, &rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rounds: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, connections: &str, rounds: &str) -> Result<()> {
    let connections: usize = connections
        .parse()
        .with_context(|| format!("{connections} as a number"))?;
    let rounds: usize = rounds
        .parse()
        .with_context(|| format!("{rounds} as a number"))?;
    let first = addr
        .to_socket_addrs()
        .with_context(|| format!("look up {addr}"))?
        .next()
        .with_context(|| format!("{addr} has no address"))?;
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect_timeout(&first, DEADLINE)
            .with_context(|| format!("connect to {addr}"))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        streams.push(stream);
    }
    let mut reply = [0; MESSAGE.len()];
    for _ in 0..rounds {
        for stream in &mut streams {
            let sent = stream.write_all(&MESSAGE);
            sent.with_context(|| format!("send to {addr}"))?;
        }
        for stream in &mut streams {
            let received = stream.read_exact(&mut reply);
            received.with_context(|| format!("receive from {addr}"))?;
            ensure!(reply == MESSAGE, "{addr} sent something else back");
        }
    }
    println!("{} echoes", connections * rounds);
    Ok(())
}
// ANCHOR_END: run
