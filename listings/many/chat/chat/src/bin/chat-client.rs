use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chat::clean;
use socket2::{SockRef, TcpKeepalive};

/// The longest line that a server may send, in bytes. It may name everybody.
const LONGEST: u64 = 64 * 1024;

/// How long the server's host may be silent before it is asked, and between
/// the questions.
const SILENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7140".to_string());
    let name = args.next().unwrap_or_else(|| "guest".to_string());
    match run(&addr, &name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, name: &str) -> Result<()> {
    let stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    let asking = TcpKeepalive::new().with_time(SILENCE);
    let asking = asking.with_interval(SILENCE).with_retries(2);
    SockRef::from(&stream).set_tcp_keepalive(&asking)?;
    (&stream)
        .write_all(format!("{name}\n").as_bytes())
        .with_context(|| format!("send to {addr}"))?;

    let stream = Arc::new(stream);
    let typing = stream.clone();
    let finished = Arc::new(AtomicBool::new(false));
    let has_finished = finished.clone();
    // Nothing can wake a thread that reads a terminal. So nobody joins this
    // one: it ends with the process.
    thread::spawn(move || {
        // An error of the stream is also seen by the other thread.
        if send_lines(&typing).is_ok() {
            finished.store(true, Ordering::Release);
            let _ = typing.shutdown(Shutdown::Write);
        }
    });
    print_lines(&stream).with_context(|| format!("receive from {addr}"))?;
    ensure!(
        has_finished.load(Ordering::Acquire),
        "{addr} has closed the connection"
    );
    Ok(())
}

/// Sends what is typed, until that ends.
fn send_lines(mut stream: &TcpStream) -> io::Result<()> {
    for line in io::stdin().lines() {
        stream.write_all(format!("{}\n", line?).as_bytes())?;
    }
    Ok(())
}

/// Prints what arrives, until that ends.
fn print_lines(stream: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut reader).take(LONGEST).read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\n") else {
            if line.is_empty() {
                return Ok(());
            }
            bail!("a line without an end");
        };
        // Our terminal is ours, whatever the server lets through.
        writeln!(io::stdout(), "{}", clean(line))?;
    }
}
// ANCHOR_END: run
