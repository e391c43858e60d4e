use std::io;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

/// The largest datagram that we take.
const LARGEST: usize = 6;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-noticed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    let addr = receiver.local_addr()?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.send_to(b"pay 1000", addr)?;
    sender.send_to(b"thanks", addr)?;

    for _ in 0..2 {
        match receive(&receiver)? {
            Some(datagram) => {
                println!("{:?}", String::from_utf8_lossy(&datagram))
            }
            None => println!("longer than {LARGEST} bytes: thrown away"),
        }
    }
    Ok(())
}

// ANCHOR: receive
/// Takes one datagram; `None` if it is longer than `LARGEST`.
fn receive(socket: &UdpSocket) -> io::Result<Option<Vec<u8>>> {
    // One byte more than we take: if it is used, the datagram is too long.
    let mut buffer = vec![0; LARGEST + 1];
    let n = match socket.recv_from(&mut buffer) {
        Ok((n, _)) => n,
        // WSAEMSGSIZE: Windows says that the buffer was too short.
        Err(error) if is_too_long(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if n > LARGEST {
        return Ok(None);
    }
    buffer.truncate(n);
    Ok(Some(buffer))
}

fn is_too_long(error: &io::Error) -> bool {
    cfg!(windows) && error.raw_os_error() == Some(10040)
}
// ANCHOR_END: receive
