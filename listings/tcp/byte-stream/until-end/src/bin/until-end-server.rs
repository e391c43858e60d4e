use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a client may be silent, unless the second argument says otherwise.
const PATIENCE: u64 = 60_000; // milliseconds

/// The longest request.
const LIMIT: usize = 65536; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7034".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match run(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("until-end-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, patience: &str) -> Result<()> {
    let patience: NonZeroU32 = patience
        .parse()
        .with_context(|| format!("{patience} as a number of milliseconds"))?;
    let patience = Duration::from_millis(patience.get().into());
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, peer)) => match answer(stream, patience) {
                Ok(()) => log("end of stream, and a reply"),
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
/// Reads the whole request, and answers with its length.
fn answer(mut stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut request = Vec::new();
    (&stream).take(LIMIT as u64 + 1).read_to_end(&mut request)?;
    if request.len() > LIMIT {
        return Err(ErrorKind::InvalidData.into());
    }
    let reply = format!("{} bytes", request.len());
    stream.write_all(reply.as_bytes())
}
// ANCHOR_END: answer

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
