use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest reply.
const LIMIT: u64 = 1024; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7034".to_string());
    let end = args.next().unwrap_or_else(|| "open".to_string());
    match run(&addr, &end) {
        Ok(reply) => {
            println!("received {reply:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("until-end-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, end: &str) -> Result<String> {
    let stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let reader = match end {
        "open" => open(stream),
        "shutdown" => shut_down(stream),
        "clone" => clone(stream),
        _ => bail!("{end} is none of open, shutdown and clone"),
    }
    .with_context(|| format!("send to {addr}"))?;

    let mut reply = String::new();
    match reader.take(LIMIT).read_to_string(&mut reply) {
        Ok(_) => Ok(reply),
        // The first is what Unix says, the second what Windows says.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            ) =>
        {
            bail!("no answer from {addr} within {PATIENCE:?}")
        }
        Err(error) => {
            Err(error).with_context(|| format!("receive from {addr}"))
        }
    }
}
// ANCHOR_END: run

// ANCHOR: open
/// Sends, and does not say that this was all.
fn open(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.write_all(b"Hello, world")?;
    Ok(stream)
}
// ANCHOR_END: open

// ANCHOR: shutdown
/// Sends, and says that this was all. Reading goes on.
fn shut_down(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.write_all(b"Hello, world")?;
    stream.shutdown(Shutdown::Write)?;
    Ok(stream)
}
// ANCHOR_END: shutdown

// ANCHOR: clone
/// Sends, and drops what it sent with. The clone lives on.
fn clone(mut writer: TcpStream) -> io::Result<TcpStream> {
    let reader = writer.try_clone()?;
    writer.write_all(b"Hello, world")?;
    drop(writer);
    Ok(reader)
}
// ANCHOR_END: clone
