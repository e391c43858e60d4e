use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use split_utf8::Decoder;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7032")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("split-utf8-server: {error:#}");
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
            Ok((stream, peer)) => match receive(stream) {
                Ok(()) => log(format_args!("{peer}: closed")),
                Err(error) => log(format_args!("{peer}: {error:#}")),
            },
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: receive
fn receive(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut decoder = Decoder::default();
    let mut buffer = [0; 1024];
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if n == 0 {
            return decoder.finish().context("the end");
        }
        let received = &buffer[..n];
        // The mistake, and next to it the cure.
        let alone = String::from_utf8_lossy(received);
        let decoded = decoder.decode(received)?;
        log(format_args!(
            "{received:02x?} alone {alone:?}, decoded {decoded:?}"
        ));
    }
}
// ANCHOR_END: receive

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
