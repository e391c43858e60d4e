use std::io::ErrorKind;
use std::net::UdpSocket;

use anyhow::{Result, ensure};

fn main() -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let peer = socket.peer_addr();
    ensure!(peer.is_err_and(|error| error.kind() == ErrorKind::NotConnected));

    // Nothing is sent here, and nobody has to be there.
    socket.connect("127.0.0.1:9")?;
    println!("connected to {}", socket.peer_addr()?);
    Ok(())
}
