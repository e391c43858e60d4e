use std::env;
use std::io::{self, BufRead};
use std::net::UdpSocket;
use std::process::ExitCode;

use anyhow::{Context, Result};
use socket2::SockRef;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7063")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datagrams-overflow: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let receiver =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    SockRef::from(&receiver).set_recv_buffer_size(8192)?;
    let addr = receiver.local_addr()?;

    let sender = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..100 {
        sender.send_to(&[0; 100], addr)?;
    }
    println!("sent 100 datagrams to {addr}; press Enter to receive them");
    io::stdin().lock().read_line(&mut String::new())?;

    receiver.set_nonblocking(true)?;
    let mut count = 0;
    while receiver.recv_from(&mut [0; 100]).is_ok() {
        count += 1;
    }
    println!("received {count} datagrams");
    Ok(())
}
// ANCHOR_END: run
