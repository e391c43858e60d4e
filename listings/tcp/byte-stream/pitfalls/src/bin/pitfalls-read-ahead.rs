use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Short, because one read here waits for what never comes.
const PATIENCE: Duration = Duration::from_millis(200);

/// The longest body. The peer chooses the length, so we choose a limit.
const LIMIT: usize = 1024; // bytes

// ANCHOR: main
fn main() -> Result<()> {
    let (mut client, server) = pair()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"5\nHello")?;
    match body_lost(&server) {
        Ok(body) => println!("the body is {body:?}"),
        Err(error) => println!("no body: {:?}", error.kind()),
    }

    let (mut client, server) = pair()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"5\nHello")?;
    let mut reader = BufReader::new(&server);
    println!("the body is {:?}", body(&mut reader)?);
    Ok(())
}

/// The mistake: the header through one reader, the body from the stream.
fn body_lost(mut stream: &TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut header = String::new();
    reader.by_ref().take(10).read_line(&mut header)?;
    let ahead = String::from_utf8_lossy(reader.buffer());
    println!("the reader took {header:?}, and has {ahead:?} as well");
    drop(reader);

    let mut body = [0; 5];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The cure: one reader for the connection, and everything goes through it.
fn body(reader: &mut BufReader<&TcpStream>) -> Result<String> {
    let mut header = String::new();
    reader.take(10).read_line(&mut header)?;
    let length: usize = header.trim_end().parse().context("the length")?;
    ensure!(length <= LIMIT, "{length} bytes are too many");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}
// ANCHOR_END: main

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
