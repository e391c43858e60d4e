use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match linux::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-true-length: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("datagrams-true-length: only Linux tells the true length");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::UdpSocket;
    use std::time::Duration;

    use anyhow::Result;
    use socket2::SockRef;

    /// The largest datagram that we take.
    const LARGEST: usize = 1024;

    pub fn run() -> Result<()> {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        let addr = receiver.local_addr()?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        for size in [0, 8, LARGEST, LARGEST + 1] {
            sender.send_to(&vec![b'x'; size], addr)?;
            let (length, datagram) = receive(&receiver)?;
            if length > LARGEST {
                println!("{length} bytes: thrown away");
            } else {
                println!("{} bytes", datagram.len());
            }
        }
        Ok(())
    }

    // ANCHOR: receive
    /// Takes one datagram; returns its true length, and at most
    /// `LARGEST` bytes of it.
    fn receive(socket: &UdpSocket) -> io::Result<(usize, Vec<u8>)> {
        // Look at the first datagram, and leave it in the queue. With
        // `MSG_TRUNC` the result is its length, whatever the buffer's.
        let length = SockRef::from(socket)
            .recv_with_flags(&mut [], libc::MSG_PEEK | libc::MSG_TRUNC)?;
        let mut datagram = vec![0; length.min(LARGEST)];
        socket.recv_from(&mut datagram)?;
        Ok((length, datagram))
    }
    // ANCHOR_END: receive
}
