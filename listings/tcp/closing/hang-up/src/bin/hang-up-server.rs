use std::env;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the client may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read at most, in bytes.
const LIMIT: u64 = 1000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7050".to_string());
    let when = args.next().unwrap_or_else(|| "end".to_string());
    match run(&addr, &when) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hang-up-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, when: &str) -> Result<()> {
    let presses_enter = match when {
        "end" => false,
        "enter" => true,
        _ => bail!("{when} is neither end nor enter"),
    };
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, peer)) => match serve(stream, presses_enter) {
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
// ANCHOR_END: run

// ANCHOR: serve
/// Closes when the peer has closed, or when somebody presses Enter.
fn serve(mut stream: TcpStream, presses_enter: bool) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).context("read hello")?;
    log("hello");
    if presses_enter {
        wait_for_enter()?;
    } else {
        stream.take(LIMIT).read_to_end(&mut Vec::new())?;
    }
    Ok(())
} // here `stream` is dropped, and with it closed
// ANCHOR_END: serve

/// Waits for the end of a line, or of the input.
fn wait_for_enter() -> Result<()> {
    let is_end =
        |byte: &io::Result<u8>| !matches!(byte, Ok(byte) if *byte != b'\n');
    match io::stdin().lock().bytes().find(is_end) {
        Some(Err(error)) => Err(error).context("read the keyboard"),
        _ => Ok(()),
    }
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
