use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(PATIENCE))?;

    // ANCHOR: call
    let clone = client.try_clone()?;
    drop(client);
    server.set_nonblocking(true)?;
    let end = server.read(&mut [0; 16]);
    ensure!(end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));

    drop(clone);
    server.set_nonblocking(false)?;
    ensure!(server.read(&mut [0; 16])? == 0, "now the stream has ended");
    // ANCHOR_END: call
    Ok(())
}
