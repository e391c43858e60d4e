use std::env;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

/// How long the client may take to close.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7054".to_string());
    let how = args.next().unwrap_or_else(|| "bare".to_string());
    match run(&addr, &how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("address-in-use-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, how: &str) -> Result<()> {
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let listener = match how {
        "bare" => listen(addr, false),
        "reuse" => listen(addr, true),
        "std" => TcpListener::bind(addr),
        _ => bail!("{how} is none of bare, reuse and std"),
    };
    let listener = listener.with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    let (stream, peer) = listener.accept().context("accept")?;
    say_goodbye(stream).with_context(|| format!("serve {peer}"))
}

fn listen(addr: SocketAddr, reuse: bool) -> io::Result<TcpListener> {
    let domain = Domain::for_address(addr);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option of this name means something else.
    socket.set_reuse_address(reuse && cfg!(unix))?;
    socket.bind(&addr.into())?;
    socket.listen(128)?;
    Ok(socket.into())
}

/// Closes first, and waits until the client has closed too.
fn say_goodbye(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"goodbye\n")?;
    stream.shutdown(Shutdown::Write)?;
    stream
        .read_exact(&mut [0])
        .or_else(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(()),
            _ => Err(error),
        })
}
// ANCHOR_END: run
