use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;

    // ANCHOR: call
    sender.send_to(b"first", receiver.local_addr()?)?;
    sender.send_to(b"", receiver.local_addr()?)?;
    sender.send_to(b"third", receiver.local_addr()?)?;

    let mut buffer = [0; 2048];
    for expected in ["first", "", "third"] {
        let (n, from) = receiver.recv_from(&mut buffer)?;
        ensure!(&buffer[..n] == expected.as_bytes());
        ensure!(from == sender.local_addr()?);
    }
    // ANCHOR_END: call
    Ok(())
}
