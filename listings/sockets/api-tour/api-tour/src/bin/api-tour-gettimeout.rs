use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};

fn main() -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    ensure!(socket.read_timeout()?.is_none());

    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    ensure!(socket.read_timeout()? == Some(Duration::from_secs(2)));
    ensure!(socket.write_timeout()?.is_none());
    Ok(())
}
