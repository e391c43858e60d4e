use std::env;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Between two datagrams.
const PAUSE: Duration = Duration::from_millis(30);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7070".to_string());
    let total = args.next().unwrap_or_else(|| "6".to_string());
    match run(&addr, &total) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("count-sender: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, total: &str) -> Result<()> {
    let total: u32 = total
        .parse()
        .with_context(|| format!("{total} as a number"))?;
    let socket = connect(addr).with_context(|| format!("connect to {addr}"))?;
    for number in 1..=total {
        let payload = format!("{number} of {total}");
        socket
            .send(payload.as_bytes())
            .with_context(|| format!("send to {addr}"))?;
        thread::sleep(PAUSE);
    }
    println!("sent {total}");
    Ok(())
}
// ANCHOR_END: run

fn connect(addr: &str) -> Result<UdpSocket> {
    let peer = addr.to_socket_addrs()?.next().context("no address")?;
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => "0.0.0.0:0".parse()?,
        SocketAddr::V6(_) => "[::]:0".parse()?,
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket)
}
