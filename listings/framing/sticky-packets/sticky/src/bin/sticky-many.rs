use std::env;
use std::io::{BufWriter, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long a write may wait for room.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest message that one may ask for.
const MOST: usize = 1 << 20; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7100".to_string());
    let how = args.next().unwrap_or_else(|| "nagle".to_string());
    let numbers: Vec<String> = args.collect();
    match run(&addr, &how, &numbers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sticky-many: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, how: &str, numbers: &[String]) -> Result<()> {
    // How many messages, of how many bytes, with how long a pause after each.
    let number = |index: usize, default: u32| match numbers.get(index) {
        Some(text) => text
            .parse()
            .with_context(|| format!("{text} as a number for {addr}")),
        None => Ok(default),
    };
    let count = number(0, 1000)?;
    let size = number(1, 20)? as usize;
    ensure!(size <= MOST, "a message has at most {MOST} bytes");
    let pause = Duration::from_millis(number(2, 1)?.into());

    let stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    send(stream, how, count, size, pause)
        .with_context(|| format!("send to {addr}"))
}

// ANCHOR: send
fn send(
    stream: TcpStream,
    how: &str,
    count: u32,
    size: usize,
    pause: Duration,
) -> Result<()> {
    // How many messages are written together.
    let batch = match how {
        "nagle" | "nodelay" => 1,
        "batches" => 10,
        other => bail!("{other} is not nagle, nodelay or batches"),
    };
    stream.set_nodelay(how != "nagle")?;
    let mut writer = BufWriter::new(&stream);
    for index in 1..=count {
        let mut message = index.to_string().into_bytes();
        message.resize(size, b'.');
        writer.write_all(&message)?;
        if index % batch == 0 {
            writer.flush()?;
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    writer.flush()?;
    Ok(())
}
// ANCHOR_END: send
