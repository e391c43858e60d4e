use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use socket2::{SockRef, TcpKeepalive};

// ANCHOR: watch
/// How a server finds out that a client is gone.
#[derive(Clone, Copy)]
enum Watch {
    /// It does not.
    Nothing,
    /// The kernel asks the client's kernel when nothing comes.
    Keepalive,
    /// The client has to send something all the time.
    Heartbeat,
}

/// How long a client may be silent that has promised a heartbeat.
const SILENCE: Duration = Duration::from_secs(1);

fn watch(stream: &TcpStream, watch: Watch) -> io::Result<()> {
    match watch {
        Watch::Nothing => Ok(()),
        Watch::Keepalive => SockRef::from(stream).set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(Duration::from_secs(1))
                .with_interval(Duration::from_secs(1))
                .with_retries(2),
        ),
        Watch::Heartbeat => stream.set_read_timeout(Some(SILENCE)),
    }
}
// ANCHOR_END: watch

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7057".to_string());
    let how = args.next().unwrap_or_else(|| "nothing".to_string());
    match run(&addr, &how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("silent-peer-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, how: &str) -> Result<()> {
    let how = match how {
        "nothing" => Watch::Nothing,
        "keepalive" => Watch::Keepalive,
        "heartbeat" => Watch::Heartbeat,
        _ => bail!("{how} is none of nothing, keepalive and heartbeat"),
    };
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, _)) => serve(stream, how),
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: serve
/// Reads until the client closes, or is known to be gone.
fn serve(stream: TcpStream, how: Watch) {
    log("connected");
    let start = Instant::now();
    let end = watch(&stream, how).and_then(|()| read_all(stream));
    let after = start.elapsed().as_millis();
    match end {
        Ok(()) => log(format_args!("the client has closed, after {after} ms")),
        // The first is what Unix says, the second what Windows says.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            ) =>
        {
            log(format_args!(
                "the client is gone, after {after} ms: {error}"
            ))
        }
        Err(error) => log(format_args!("{error}, after {after} ms")),
    }
}
// ANCHOR_END: serve

fn read_all(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
