use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;

    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    println!("connected to {}", stream.peer_addr()?);
    Ok(())
}
