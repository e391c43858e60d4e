use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;

const PATIENCE: Duration = Duration::from_secs(5);

// ANCHOR: main
fn main() -> Result<()> {
    let (mut client, mut server) = pair()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"Hello")?;
    drop(client);

    // The mistake: nobody looks for 0. This loop ends only because of `until`.
    let until = Instant::now() + Duration::from_millis(100);
    let mut buffer = [0; 1024];
    let (mut reads, mut empty) = (0, 0);
    while Instant::now() < until {
        let n = server.read(&mut buffer)?;
        reads += 1;
        if n == 0 {
            empty += 1;
        }
    }
    println!("{reads} reads in 100 ms, {empty} of them gave Ok(0)");

    let (mut client, server) = pair()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"Hello")?;
    drop(client);
    println!("counted {} bytes, and stopped", count(server)?);
    Ok(())
}

/// The cure: 0 ends the loop.
fn count(mut stream: TcpStream) -> io::Result<usize> {
    let mut buffer = [0; 1024];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(n) => count += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
// ANCHOR_END: main

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
