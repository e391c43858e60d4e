use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7073".to_string());
    let group = args.next();
    let interface = args.next().unwrap_or_else(|| "127.0.0.1".to_string());
    match run(&addr, group.as_deref(), &interface) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("group-member: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, group: Option<&str>, interface: &str) -> Result<()> {
    let socket =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    if let Some(group) = group {
        join(&socket, group, interface)
            .with_context(|| format!("join {group} on {interface}"))?;
    }
    println!("listening on {}", socket.local_addr()?);

    let mut buffer = vec![0; 65536]; // no datagram is longer
    loop {
        match socket.recv_from(&mut buffer) {
            // Anybody may send: nothing but plain letters is printed.
            Ok((n, peer)) => {
                let text = buffer[..n].escape_ascii();
                writeln!(io::stdout(), "{text} from {}", peer.ip())?;
            }
            Err(error) => {
                log(format_args!("receive: {error}"));
                // An error that lasts must not turn the loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Asks the kernel to take what is sent to `group` from the interface that has
/// the address `interface`.
fn join(socket: &UdpSocket, group: &str, interface: &str) -> Result<()> {
    let group: Ipv4Addr = group.parse()?;
    let interface: Ipv4Addr = interface.parse()?;
    socket.join_multicast_v4(&group, &interface)?;
    Ok(())
}
// ANCHOR_END: run

/// Writes a line to the log. `eprintln!` would end the program with a panic
/// when the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
