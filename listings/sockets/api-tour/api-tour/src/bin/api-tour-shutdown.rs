use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.set_read_timeout(Some(PATIENCE))?;

    // ANCHOR: call
    let mut clone = client.try_clone()?;
    client.write_all(b"question")?;
    client.shutdown(Shutdown::Write)?;

    let mut buffer = [0; 16];
    server.read_exact(&mut buffer[..8])?;
    ensure!(server.read(&mut buffer)? == 0, "the question has ended");
    server.write_all(b"answer")?;

    client.read_exact(&mut buffer[..6])?;
    ensure!(&buffer[..6] == b"answer");
    let late = clone.write(b"more");
    ensure!(late.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe));
    // ANCHOR_END: call
    Ok(())
}
