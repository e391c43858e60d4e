use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};
use socket2::SockRef;

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;

    // ANCHOR: call
    client.set_nodelay(true)?;
    ensure!(client.nodelay()?);

    let client = SockRef::from(&client);
    client.set_recv_buffer_size(65_536)?;
    println!("asked for 65536, got {}", client.recv_buffer_size()?);
    // ANCHOR_END: call
    Ok(())
}
