use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("addresses-localhost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    for host in ["localhost", "127.0.0.1"] {
        let bound = TcpListener::bind((host, 0));
        let listener = bound.with_context(|| format!("bind {host}"))?;
        let addr = listener.local_addr()?;
        println!("bind {host}: listening on {}", addr.ip());

        // What a Python program with an IPv4 socket would do.
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port()));
        match TcpStream::connect(peer) {
            Ok(_) => println!("connect {}: connected", peer.ip()),
            Err(error) => println!("connect {}: {error}", peer.ip()),
        }
    }
    Ok(())
}
// ANCHOR_END: run
