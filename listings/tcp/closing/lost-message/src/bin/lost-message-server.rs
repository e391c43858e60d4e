use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long the client may send nothing, or take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest line, in bytes.
const LIMIT: u64 = 1000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7053".to_string());
    let how = args.next().unwrap_or_else(|| "silent".to_string());
    match run(&addr, &how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lost-message-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, how: &str) -> Result<()> {
    let acknowledges = match how {
        "silent" => false,
        "ack" => true,
        _ => bail!("{how} is neither silent nor ack"),
    };
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, _)) => match serve(stream, acknowledges) {
                Ok(line) => log(format_args!("stored {line:?}, closed")),
                Err(error) => log(format_args!("{error:#}")),
            },
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: serve
/// Stores one line, and closes, like a server that is restarted.
fn serve(mut stream: TcpStream, acknowledges: bool) -> Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(&stream)
        .take(LIMIT)
        .read_line(&mut line)
        .context("read a line")?;
    ensure!(line.ends_with('\n'), "{line:?} is no whole line");
    if acknowledges {
        stream.write_all(b"stored\n").context("acknowledge")?;
    }
    Ok(line)
}
// ANCHOR_END: serve

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
