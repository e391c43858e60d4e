use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// What is sent on each connection, without a border between the two.
const MESSAGES: [&[u8]; 2] =
    [b"first of two messages.", b"and the second of them"];

/// How long each call may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("one-by-one: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let addr = args.first().map_or("127.0.0.1:7133", String::as_str);
    let count = args.get(1).map_or("3", String::as_str);
    let count: usize = count
        .parse()
        .with_context(|| format!("{count} as a number of connections"))?;
    let addr = addr
        .to_socket_addrs()
        .with_context(|| format!("look up {addr}"))?
        .next()
        .with_context(|| format!("no address for {addr}"))?;

    let begun = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(connect(addr)?);
    }
    println!("{count} connected after {:?}", begun.elapsed());
    talk(addr, &mut streams)?;
    println!("{} bytes back after {:?}", count * 44, begun.elapsed());
    Ok(())
}

// ANCHOR: connect
fn connect(addr: SocketAddr) -> Result<TcpStream> {
    // Waits for the answer, and then the next one is begun.
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
// ANCHOR_END: connect

fn talk(addr: SocketAddr, streams: &mut [TcpStream]) -> Result<()> {
    let sent = MESSAGES.concat();
    for stream in &mut *streams {
        stream
            .write_all(&sent)
            .with_context(|| format!("send to {addr}"))?;
    }
    for stream in streams {
        let mut received = vec![0; sent.len()];
        stream
            .read_exact(&mut received)
            .with_context(|| format!("receive from {addr}"))?;
        ensure!(received == sent, "{addr} sent back other bytes");
    }
    Ok(())
}
