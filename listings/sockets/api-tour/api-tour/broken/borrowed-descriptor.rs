use std::io::Result;
use std::net::UdpSocket;
use std::os::fd::AsFd;

fn main() -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let borrowed = socket.as_fd();
    drop(socket); // does not compile: it is still borrowed
    println!("{borrowed:?} may be somebody else's by now");
    Ok(())
}
