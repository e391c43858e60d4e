use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;

    // ANCHOR: call
    let mut writer = BufWriter::new(&client);
    writeln!(writer, "one")?;
    writeln!(writer, "two")?;
    server.set_nonblocking(true)?;
    let early = server.peek(&mut [0; 1]);
    ensure!(early.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    writer.flush()?;

    server.set_nonblocking(false)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(&server);
    for expected in ["one\n", "two\n"] {
        let mut line = String::new();
        reader.by_ref().take(80).read_line(&mut line)?;
        ensure!(line == expected);
    }
    // ANCHOR_END: call
    Ok(())
}
