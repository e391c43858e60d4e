use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};
use socket2::{SockRef, Type};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;

    // ANCHOR: call
    ensure!(!client.nodelay()?, "Nagle's algorithm is on by default");
    ensure!(client.take_error()?.is_none());

    let client = SockRef::from(&client);
    ensure!(client.r#type()? == Type::STREAM);
    ensure!(!client.keepalive()?, "keepalive is off by default");
    // ANCHOR_END: call
    Ok(())
}
