use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let addr = socket.local_addr()?.as_socket().context("an IP address")?;
    println!("the kernel chose port {}", addr.port());

    let second = TcpListener::bind(addr);
    ensure!(second.is_err_and(|error| error.kind() == ErrorKind::AddrInUse));

    // 192.0.2.1 is set aside for examples, so no host should have it.
    let foreign = UdpSocket::bind("192.0.2.1:0");
    ensure!(
        foreign.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
    );
    Ok(())
}
