use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> Result<()> {
    let listener =
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let addr = listener
        .local_addr()?
        .as_socket()
        .context("an IP address")?;

    let too_early = TcpStream::connect(addr);
    ensure!(
        too_early
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    );

    listener.listen(16)?;
    let mut client = TcpStream::connect(addr)?;
    client.write_all(b"Anybody there?")?;
    println!("connected and sent, and nobody has called accept");
    Ok(())
}
