use std::io::Write;
use std::net::{TcpListener, TcpStream};

use anyhow::Result;

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (_server, _peer) = listener.accept()?;
    client.write_all(b"Hello")?;
    Ok(())
}
