use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the client may send nothing.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7056")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("linger-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let (count, how) = read_all(stream);
                log(format_args!("got {count} bytes, then {how}"));
            }
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: read
/// How many bytes came, and how it ended.
fn read_all(mut stream: TcpStream) -> (u64, String) {
    let mut buffer = [0; 4096];
    let mut count = 0;
    if let Err(error) = stream.set_read_timeout(Some(PATIENCE)) {
        return (count, error.to_string());
    }
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, "the end".to_string()),
            Ok(n) => count += n as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (count, error.to_string()),
        }
    }
}
// ANCHOR_END: read

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
