use std::env;
use std::io::{IoSlice, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use header::{Header, Kind, read_message, write_all_vectored};

/// How long the server may keep us waiting.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7120".to_string());
    let way = args.next().unwrap_or_else(|| "vectored".to_string());
    let count = args.next().unwrap_or_else(|| "10".to_string());
    match run(&addr, &way, &count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("header-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, way: &str, count: &str) -> Result<()> {
    let count: NonZeroU32 = count
        .parse()
        .with_context(|| format!("{count} as a number of requests"))?;
    let stream = TcpStream::connect(addr);
    let mut stream = stream.with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if way == "nodelay" {
        stream.set_nodelay(true)?;
    }
    for number in 1..=count.get() {
        let start = Instant::now();
        send(&mut stream, way, b"hello")
            .with_context(|| format!("send to {addr}"))?;
        let answer = read_message(&mut stream)
            .with_context(|| format!("receive from {addr}"))?
            .with_context(|| format!("{addr} closed without an answer"))?;
        let took = start.elapsed().as_secs_f64() * 1000.0;
        let (header, body) = answer;
        ensure!(header.kind == Kind::Answer, "{addr} sent no answer");
        ensure!(body == b"HELLO", "{addr} sent {body:?}");
        println!("answer {number} after {took:.1} ms");
    }
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: ways
/// Sends a request in one of four ways.
fn send(stream: &mut TcpStream, way: &str, body: &[u8]) -> Result<()> {
    let header = Header::new(Kind::Ask, 0, body)?.to_bytes();
    match way {
        "two" | "nodelay" => {
            stream.write_all(&header)?;
            stream.write_all(body)?;
        }
        "one" => {
            let mut message = Vec::with_capacity(header.len() + body.len());
            message.extend_from_slice(&header);
            message.extend_from_slice(body);
            stream.write_all(&message)?;
        }
        "vectored" => {
            let mut slices = [IoSlice::new(&header), IoSlice::new(body)];
            write_all_vectored(stream, &mut slices)?;
        }
        _ => bail!("{way} is no way to write: two, nodelay, one, vectored"),
    }
    Ok(())
}
// ANCHOR_END: ways
