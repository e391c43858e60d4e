#[cfg(unix)]
fn main() -> anyhow::Result<()> {
    use std::net::UdpSocket;
    use std::os::fd::{AsFd, AsRawFd};

    use anyhow::ensure;
    use socket2::{SockRef, Socket};

    // ANCHOR: call
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let number = socket.as_raw_fd();
    println!("the descriptor is {number}");

    // Borrowed for the length of one statement: an option that `std` can't set.
    SockRef::from(&socket.as_fd()).set_recv_buffer_size(65_536)?;

    // Moved: the same descriptor, owned by another type.
    let socket = Socket::from(socket);
    ensure!(socket.as_raw_fd() == number);
    // ANCHOR_END: call
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("descriptors are for Unix; see std::os::windows::io::AsSocket");
}
