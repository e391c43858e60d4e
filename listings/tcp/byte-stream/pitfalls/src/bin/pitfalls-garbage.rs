use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

const PATIENCE: Duration = Duration::from_secs(5);

// ANCHOR: main
fn main() -> Result<()> {
    let (mut client, mut server) = pair()?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 16];
    for message in ["balance: 1000000", "balance: 5"] {
        client.write_all(message.as_bytes())?;
        let n = server.read(&mut buffer)?;
        println!("the whole buffer: {}", String::from_utf8_lossy(&buffer));
        println!(
            "buffer[..n]:      {}",
            String::from_utf8_lossy(&buffer[..n])
        );
    }
    Ok(())
}
// ANCHOR_END: main

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
