use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    println!("the listener asked for port 0 and got {}", addr.port());
    ensure!(addr.port() != 0);

    let client = TcpStream::connect(addr)?;
    println!(
        "the client asked for nothing and got {}",
        client.local_addr()?.port()
    );
    Ok(())
}
