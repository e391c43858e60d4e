use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    // Port 0: the kernel picks a free one.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    println!("listening on {addr}");

    let mut client = TcpStream::connect(addr)?;
    let (mut server, _) = listener.accept()?;
    println!(
        "a connection from {} to {}",
        client.local_addr()?,
        client.peer_addr()?
    );

    client.write_all(b"one ")?;
    client.write_all(b"two ")?;
    client.write_all(b"three")?;
    drop(client);

    let mut received = String::new();
    server.read_to_string(&mut received)?;
    println!("received {received:?}");
    Ok(())
}
