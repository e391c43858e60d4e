use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long the server may take for one reply.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7001".to_string());
    let mut pauses: Vec<String> = args.collect();
    if pauses.is_empty() {
        pauses = vec!["10".to_string(); 3];
    }
    match run(&addr, &pauses) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("turns-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
/// Takes a turn with an echo server for each of the pauses: sends a message,
/// waits until it is back, and pauses for so many milliseconds.
fn run(addr: &str, pauses: &[String]) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for (turn, pause) in (1..).zip(pauses) {
        let pause = pause
            .parse()
            .map(Duration::from_millis)
            .with_context(|| format!("{pause} as milliseconds"))?;
        let message = format!("turn {turn}");
        stream
            .write_all(message.as_bytes())
            .with_context(|| format!("send to {addr}"))?;
        let mut reply = vec![0; message.len()];
        stream
            .read_exact(&mut reply)
            .with_context(|| format!("receive from {addr}"))?;
        ensure!(reply == message.as_bytes(), "{addr} sent something else");
        println!("{message} is back");
        thread::sleep(pause);
    }
    Ok(())
}
// ANCHOR_END: run
