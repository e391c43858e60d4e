use std::io::{self, Write};
use std::net::TcpStream;

fn main() -> io::Result<()> {
    let mut stream = TcpStream::connect("127.0.0.1:7001")?;
    stream.write_all(b"Hello")?;
    drop(stream); // closes the connection
    stream.write_all(b", world") // does not compile: the socket is gone
}
