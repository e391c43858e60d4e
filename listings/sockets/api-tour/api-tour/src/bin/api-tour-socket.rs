use std::io::ErrorKind;

use anyhow::{Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> Result<()> {
    let stream = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let datagram = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    ensure!(
        stream.r#type()? == Type::STREAM && datagram.r#type()? == Type::DGRAM
    );

    // It exists, and it is not connected to anything.
    let peer = stream.peer_addr();
    ensure!(peer.is_err_and(|error| error.kind() == ErrorKind::NotConnected));
    Ok(())
}
