use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;

    // ANCHOR: call
    client.set_read_timeout(Some(Duration::from_millis(20)))?;
    match client.read(&mut [0; 16]) {
        Ok(n) => bail!("{n} bytes out of nowhere"),
        // The first is how Unix says it, the second is how Windows does.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            println!("WouldBlock")
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            println!("TimedOut")
        }
        Err(error) => return Err(error.into()),
    }

    let zero = client.set_read_timeout(Some(Duration::ZERO));
    ensure!(zero.is_err_and(|error| error.kind() == ErrorKind::InvalidInput));
    client.set_read_timeout(None)?;
    // ANCHOR_END: call
    Ok(())
}
