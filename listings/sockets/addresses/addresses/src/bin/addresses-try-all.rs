use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("addresses-try-all: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    // Bound but not listening: the port is taken, and who connects is refused.
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let refuses = deaf.local_addr()?.as_socket().context("no address")?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let answers = listener.local_addr()?;

    // A slice of addresses is as good as a name that has several.
    let stream = TcpStream::connect(&[refuses, answers][..])?;
    println!(
        "the second one answered: {}",
        stream.peer_addr()? == answers
    );

    match TcpStream::connect(&[refuses, refuses][..]) {
        Ok(_) => println!("connected"),
        Err(error) => println!("nobody answered: {error}"),
    }
    Ok(())
}
// ANCHOR_END: run
