use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;

    let first = TcpStream::connect(addr)?;
    let second = TcpStream::connect(addr)?;
    let (from_first, from_second) = (first.local_addr()?, second.local_addr()?);
    println!("{from_first} to {addr}");
    println!("{from_second} to {addr}");
    ensure!(from_first != from_second);
    Ok(())
}
