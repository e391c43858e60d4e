#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7055".to_string());
    let name = args.next().unwrap_or_else(|| "A".to_string());
    let how = args.next().unwrap_or_else(|| "shared".to_string());
    match run(&addr, &name, &how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shared-port-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, name: &str, how: &str) -> Result<()> {
    let shared = match how {
        "shared" => true,
        "alone" => false,
        _ => bail!("{how} is neither shared nor alone"),
    };
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let listener =
        listen(addr, shared).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((mut stream, peer)) => {
                let sent = stream
                    .set_write_timeout(Some(PATIENCE))
                    .and_then(|()| stream.write_all(name.as_bytes()));
                if let Err(error) = sent {
                    log(format_args!("{peer}: {error}"));
                }
            }
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: listen
#[cfg(unix)]
fn listen(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let domain = Domain::for_address(addr);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&addr.into())?;
    socket.listen(128)?;
    Ok(socket.into())
}
// ANCHOR_END: listen

#[cfg(not(unix))]
fn listen(_: SocketAddr, _: bool) -> io::Result<TcpListener> {
    Err(io::ErrorKind::Unsupported.into()) // there is no SO_REUSEPORT
}

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
