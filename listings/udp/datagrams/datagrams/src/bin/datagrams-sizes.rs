use std::env;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7061".to_string());
    let sizes: Vec<String> = args.collect();
    match run(&addr, &sizes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-sizes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, sizes: &[String]) -> Result<()> {
    let addr: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).context("bind")?;
    for size in sizes {
        // A u16 ends at 65535, and so does every length of UDP.
        let size: u16 =
            size.parse().with_context(|| format!("{size} as a size"))?;
        match socket.send_to(&vec![b'x'; size.into()], addr) {
            Ok(n) => println!("{n} bytes: sent"),
            Err(error) => println!("{size} bytes: {error}"),
        }
    }
    Ok(())
}
// ANCHOR_END: run
