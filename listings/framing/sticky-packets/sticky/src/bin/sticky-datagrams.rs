use std::io;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

// ANCHOR: main
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sticky-datagrams: on 127.0.0.1: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.connect(receiver.local_addr()?)?;

    // Both are there before the first is read. The buffer has room for both.
    sender.send(b"left 10")?;
    sender.send(b"right 5")?;
    let mut buffer = [0; 1024];
    for _ in 0..2 {
        let n = receiver.recv(&mut buffer)?;
        println!("received {:?}", String::from_utf8_lossy(&buffer[..n]));
    }
    Ok(())
}
// ANCHOR_END: main
