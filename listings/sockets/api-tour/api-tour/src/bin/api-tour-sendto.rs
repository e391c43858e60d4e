use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let first = UdpSocket::bind("127.0.0.1:0")?;
    let second = UdpSocket::bind("127.0.0.1:0")?;
    first.set_read_timeout(Some(PATIENCE))?;
    second.set_read_timeout(Some(PATIENCE))?;

    // ANCHOR: call
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    ensure!(sender.send_to(b"one", first.local_addr()?)? == 3);
    ensure!(sender.send_to(b"two", second.local_addr()?)? == 3);

    let mut buffer = [0; 16];
    let (n, from) = second.recv_from(&mut buffer)?;
    ensure!(&buffer[..n] == b"two" && from == sender.local_addr()?);
    // ANCHOR_END: call
    Ok(())
}
