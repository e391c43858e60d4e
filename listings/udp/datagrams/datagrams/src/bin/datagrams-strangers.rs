use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-strangers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let stranger = UdpSocket::bind("127.0.0.1:0")?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    let addr = client.local_addr()?;

    stranger.send_to(b"before", addr)?;
    client.connect(server.local_addr()?)?;
    stranger.send_to(b"after", addr)?;
    server.send_to(b"from the server", addr)?;

    client.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut buffer = [0; 80];
    while let Ok(n) = client.recv(&mut buffer) {
        println!("{:?}", String::from_utf8_lossy(&buffer[..n]));
    }
    Ok(())
}
// ANCHOR_END: run
