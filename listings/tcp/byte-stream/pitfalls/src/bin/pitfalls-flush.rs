use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

/// Long enough for what was sent on loopback to arrive.
const PATIENCE: Duration = Duration::from_millis(200);

// ANCHOR: main
fn main() -> Result<()> {
    // 1. The question stays in the buffer, and the peer waits for it.
    let (client, server) = pair()?;
    let mut writer = BufWriter::new(&client);
    writer.write_all(b"Hello")?;
    println!("before flush: {:?}", waiting(&server)?);
    writer.flush()?;
    println!("after flush:  {:?}", waiting(&server)?);

    // 2. `Drop` sends what is left.
    writer.write_all(b", world")?;
    drop(writer);
    println!("after drop:   {:?}", waiting(&server)?);

    // 3. And if that fails, it fails in silence.
    let mut writer = BufWriter::new(&client);
    writer.write_all(b"Hello")?;
    break_it(&client)?;
    drop(writer);
    println!("after a drop that failed: {:?}", waiting(&server)?);

    // 4. `flush` does the same, and says so.
    let mut writer = BufWriter::new(&client);
    writer.write_all(b"Hello")?;
    match writer.flush() {
        Ok(()) => println!("flush worked"),
        Err(error) => println!("flush says: {:?}", error.kind()),
    }
    Ok(())
}
// ANCHOR_END: main

// ANCHOR: helpers
/// What arrives. An empty text if nothing does, for a while or for ever.
fn waiting(mut server: &TcpStream) -> Result<String> {
    server.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 80];
    let n = match server.read(&mut buffer) {
        Ok(n) => n,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            ) =>
        {
            0
        }
        Err(error) => return Err(error.into()),
    };
    Ok(String::from_utf8_lossy(&buffer[..n]).into_owned())
}

/// Nothing can be sent from now on, as after a reset.
fn break_it(client: &TcpStream) -> io::Result<()> {
    client.shutdown(Shutdown::Write)
}
// ANCHOR_END: helpers

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
