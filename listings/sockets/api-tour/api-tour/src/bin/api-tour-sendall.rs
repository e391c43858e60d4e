use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;

    // ANCHOR: call
    let reader = thread::spawn(move || io::copy(&mut server, &mut io::sink()));

    let payload = vec![0; 8 << 20];
    client.write_all(&payload)?;
    drop(client);

    let arrived = reader
        .join()
        .map_err(|_| anyhow!("the reader panicked"))??;
    ensure!(arrived == payload.len() as u64);
    // ANCHOR_END: call
    Ok(())
}
