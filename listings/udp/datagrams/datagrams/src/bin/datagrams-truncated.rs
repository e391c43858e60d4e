use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-truncated: {error:#}");
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
    sender.send_to(b"pay 1000", addr)?;
    sender.send_to(b"thanks", addr)?;

    let mut buffer = [0; 5];
    for _ in 0..2 {
        match receiver.recv_from(&mut buffer) {
            Ok((n, _)) => {
                let text = String::from_utf8_lossy(&buffer[..n]);
                println!("{n} bytes: {text:?}");
            }
            // Windows says so, and the rest is lost there too.
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
// ANCHOR_END: run
