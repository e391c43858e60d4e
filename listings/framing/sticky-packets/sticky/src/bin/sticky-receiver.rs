use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long a sender may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest buffer that one may ask for.
const MOST: usize = 1 << 20; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7100".to_string());
    let size = args.next().unwrap_or_else(|| "1024".to_string());
    let mode = args.next().unwrap_or_else(|| "prompt".to_string());
    match run(&addr, &size, &mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sticky-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, size: &str, mode: &str) -> Result<()> {
    let size: usize = size
        .parse()
        .with_context(|| format!("{size} as a size of the buffer"))?;
    ensure!((1..=MOST).contains(&size), "a buffer has 1 to {MOST} bytes");
    ensure!(
        ["prompt", "late", "quiet"].contains(&mode),
        "{mode} is not prompt, late or quiet"
    );
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);

    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if let Err(error) = receive(stream, size, mode) {
            log(format_args!("{peer}: {error}"));
        }
    }
}

// ANCHOR: receive
/// Writes down what each single read returns.
fn receive(mut stream: TcpStream, size: usize, mode: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    if mode == "late" {
        log("busy; press Enter");
        io::stdin().read_line(&mut String::new())?;
    }
    let mut buffer = vec![0; size];
    let (mut reads, mut bytes) = (0, 0);
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        reads += 1;
        bytes += n;
        match &buffer[..n] {
            _ if mode == "quiet" => {}
            short if n <= 60 => {
                log(format_args!("read {:?}", String::from_utf8_lossy(short)))
            }
            _ => log(format_args!("read {n} bytes")),
        }
    }
    log(format_args!("end; reads: {reads}, bytes: {bytes}"));
    Ok(())
}
// ANCHOR_END: receive

/// Writes a line to the log. `eprintln!` would end this with a panic when
/// the log can't be written: the disk is full, or nobody reads the pipe.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
