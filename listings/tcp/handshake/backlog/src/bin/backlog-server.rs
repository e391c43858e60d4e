use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7023".to_string());
    let backlog = args.next().unwrap_or_else(|| "1".to_string());
    match run(&addr, &backlog) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backlog-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, backlog: &str) -> Result<()> {
    let backlog: u16 = backlog
        .parse()
        .with_context(|| format!("{backlog} as a backlog"))?;
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let listener = listen(addr, backlog)?;
    let local = listener.local_addr()?;
    let local = local.as_socket().context("it is no IP address")?;
    println!("listening on {local}");
    thread::sleep(Duration::from_secs(3600));
    Ok(())
}

// ANCHOR: listen
fn listen(addr: SocketAddr, backlog: u16) -> Result<Socket> {
    let domain = Domain::for_address(addr);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket
        .bind(&addr.into())
        .with_context(|| format!("bind {addr}"))?;
    socket
        .listen(backlog.into())
        .with_context(|| format!("listen on {addr}"))?;
    Ok(socket)
}
// ANCHOR_END: listen
