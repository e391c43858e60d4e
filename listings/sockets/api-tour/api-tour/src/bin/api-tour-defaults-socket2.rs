use std::io::Write;
use std::net::SocketAddr;

use anyhow::Result;
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> Result<()> {
    let listener =
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(16)?;

    let mut client =
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    client.connect(&listener.local_addr()?)?;
    let (_server, _peer) = listener.accept()?;
    client.write_all(b"Hello")?;
    Ok(())
}
