use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-empty-vec: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    let addr = receiver.local_addr()?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.send_to(b"one", addr)?;
    sender.send_to(b"two", addr)?;

    // Room for 1500 bytes, and none of them in use: a slice of length 0.
    let mut wrong = Vec::with_capacity(1500);
    match receiver.recv_from(&mut wrong) {
        Ok((n, _)) => println!("with_capacity: {n} bytes"),
        Err(error) => println!("with_capacity: {error}"),
    }

    let mut right = vec![0; 1500];
    let (n, _) = receiver.recv_from(&mut right)?;
    let text = String::from_utf8_lossy(&right[..n]);
    println!("vec![0; 1500]: {n} bytes: {text:?}");
    Ok(())
}
// ANCHOR_END: run
