use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7152".to_string());
    let idle = args.next().unwrap_or_else(|| "60000".to_string());
    match run(&addr, &idle) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("first-threads: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, idle: &str) -> Result<()> {
    let idle: NonZeroU32 = idle
        .parse()
        .with_context(|| format!("{idle} as a number of milliseconds"))?;
    let idle = Duration::from_millis(idle.get().into());
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);

    // ANCHOR: accept
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        log(format_args!("{peer}: connected"));
        thread::spawn(move || match echo(&stream, idle) {
            Ok(count) => {
                log(format_args!("{peer}: closed after {count} bytes"))
            }
            Err(error) => log(format_args!("{peer}: {error}")),
        });
    }
    // ANCHOR_END: accept
}

/// Sends back what arrives until the peer closes its side; returns how many
/// bytes that was.
fn echo(mut stream: &TcpStream, idle: Duration) -> io::Result<u64> {
    stream.set_read_timeout(Some(idle))?;
    stream.set_write_timeout(Some(idle))?;
    let mut buffer = [0; 16 * 1024];
    let mut count = 0;
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        stream.write_all(&buffer[..n])?;
        count += n as u64;
    }
}

fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
