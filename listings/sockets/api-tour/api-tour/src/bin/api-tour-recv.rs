use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(PATIENCE))?;

    // ANCHOR: call
    client.write_all(b"Hello")?;
    drop(client);

    let mut buffer = [0; 16];
    let n = server.read(&mut buffer)?;
    ensure!(&buffer[..n] == b"Hello");

    ensure!(server.read(&mut buffer)? == 0);
    ensure!(server.read(&mut buffer)? == 0, "the end lasts");
    // ANCHOR_END: call
    Ok(())
}
