use std::env;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args
        .next()
        .unwrap_or_else(|| "239.255.7.73:7073".to_string());
    let interface = args.next().unwrap_or_else(|| "127.0.0.1".to_string());
    match run(&addr, &interface) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("group-sender: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, interface: &str) -> Result<()> {
    let addr: SocketAddrV4 = addr
        .parse()
        .with_context(|| format!("{addr} as an address and a port"))?;
    let interface: Ipv4Addr = interface
        .parse()
        .with_context(|| format!("{interface} as an address"))?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Which way out: the address says nothing of it.
    socket
        .set_multicast_if_v4(&interface)
        .with_context(|| format!("use the interface of {interface}"))?;
    socket
        .send_to(b"hello", &addr.into())
        .with_context(|| format!("send to {addr}"))?;
    println!("sent");
    Ok(())
}
// ANCHOR_END: run
