use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};
use socket2::SockRef;

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let nobody = listener.accept();
    ensure!(nobody.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));

    let mut client = TcpStream::connect(listener.local_addr()?)?;
    SockRef::from(&client).set_nonblocking(true)?;
    let nothing = client.read(&mut [0; 16]);
    ensure!(nothing.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    Ok(())
}
