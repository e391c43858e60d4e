use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

/// Short, because one read on each connection is meant to be cut off.
const PATIENCE: Duration = Duration::from_millis(100);

// ANCHOR: main
fn main() -> Result<()> {
    let [early, late] = [[0, 0], [0, 7]];

    let (mut client, mut server) = pair()?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.write_all(&early)?;
    println!("read_exact: {}", said(number(&mut server)));
    client.write_all(&late)?;
    client.write_all(&8u32.to_be_bytes())?;
    println!("read_exact: {}", said(number(&mut server)));

    let (mut client, server) = pair()?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut numbers = Numbers::new(server);
    client.write_all(&early)?;
    println!("Numbers: {}", said(numbers.next()));
    client.write_all(&late)?;
    client.write_all(&8u32.to_be_bytes())?;
    println!("Numbers: {}", said(numbers.next()));
    println!("Numbers: {}", said(numbers.next()));
    Ok(())
}

/// The mistake: what arrived before a timeout goes away with `bytes`.
fn number(stream: &mut TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
// ANCHOR_END: main

// ANCHOR: numbers
/// The cure: what has arrived is kept from call to call.
struct Numbers {
    stream: TcpStream,
    bytes: [u8; 4],
    filled: usize,
}

impl Numbers {
    fn new(stream: TcpStream) -> Numbers {
        Numbers {
            stream,
            bytes: [0; 4],
            filled: 0,
        }
    }

    /// The next number. After an error that is a timeout, ask again.
    fn next(&mut self) -> io::Result<u32> {
        while self.filled < self.bytes.len() {
            match self.stream.read(&mut self.bytes[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.filled = 0;
        Ok(u32::from_be_bytes(self.bytes))
    }
}
// ANCHOR_END: numbers

fn said(number: io::Result<u32>) -> String {
    match number {
        Ok(number) => number.to_string(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
