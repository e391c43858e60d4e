use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(PATIENCE))?;

    // ANCHOR: call
    client.set_nonblocking(true)?;
    let payload = vec![0; 64 << 20];
    let taken = client.write(&payload)?;
    println!("took {taken} of {} bytes", payload.len());

    // Close, so that the server's stream has an end, and count what arrives.
    drop(client);
    let arrived = io::copy(&mut server, &mut io::sink())?;
    ensure!(arrived == taken as u64);
    // ANCHOR_END: call
    Ok(())
}
