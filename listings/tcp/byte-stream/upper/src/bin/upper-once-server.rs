use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a client may take to send, and to take the reply.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7031")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upper-once-server: {error:#}");
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
            Ok((stream, peer)) => match answer(stream) {
                Ok(n) => log(format_args!("{peer}: answered {n} bytes")),
                Err(error) => log(format_args!("{peer}: {error}")),
            },
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: answer
/// One read, one reply. `stream` is dropped, so the server closes first.
fn answer(mut stream: TcpStream) -> io::Result<usize> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1024];
    let n = loop {
        match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => break done?,
        }
    };
    buffer[..n].make_ascii_uppercase();
    stream.write_all(&buffer[..n])?;
    Ok(n)
}
// ANCHOR_END: answer

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
