use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;

    let (server, peer) = listener.accept()?;
    ensure!(peer == client.local_addr()?);
    ensure!(server.local_addr()? == listener.local_addr()?);
    Ok(())
}
