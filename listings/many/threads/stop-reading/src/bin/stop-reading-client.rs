use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

/// How long the server may do nothing.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7151")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stop-reading-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let server: SocketAddr = addr
        .parse()
        .with_context(|| format!("{addr} as an address"))?;
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    // A part of the answer fits, and the rest has to wait at the server.
    socket.set_recv_buffer_size(4096)?;
    socket
        .connect(&server.into())
        .with_context(|| format!("connect to {addr}"))?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"first question")?;
    thread::sleep(Duration::from_millis(300)); // busy with something else
    stream.write_all(b"second question")?;

    let mut buffer = [0; 4096];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => count += n,
            Err(error) => {
                println!("{count} bytes of the answer");
                return Err(error).with_context(|| format!("read from {addr}"));
            }
        }
    }
    println!("{count} bytes of the answer, and the end");
    Ok(())
}
// ANCHOR_END: run
