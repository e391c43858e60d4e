use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("addresses-everywhere: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    for only_v6 in [true, false] {
        println!("IPv6 only: {only_v6}");
        let listener =
            match ipv6_socket(only_v6).and_then(|socket| listen(socket, 0)) {
                Ok(listener) => listener,
                Err(error) => {
                    println!("  not on this machine: {error}");
                    continue;
                }
            };
        let port = listener.local_addr()?.port();
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => {
                let ip = listener.accept().context("accept")?.1.ip();
                println!(
                    "  an IPv4 client is {ip}, loopback: {}",
                    ip.is_loopback()
                );
                let ip = ip.to_canonical();
                println!(
                    "  in its own form {ip}, loopback: {}",
                    ip.is_loopback()
                );
            }
            Err(error) => println!("  an IPv4 client gets: {error}"),
        }
    }

    let listener = listen_everywhere(0).context("listen everywhere")?;
    println!("listening on {}", listener.local_addr()?);
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: everywhere
/// Listens on all addresses of this host, IPv6 and IPv4; port 0 stands for any
/// free port.
fn listen_everywhere(port: u16) -> io::Result<TcpListener> {
    match ipv6_socket(false) {
        Ok(socket) => listen(socket, port),
        // No IPv6 here, or a system that keeps the two apart.
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
    }
}

fn ipv6_socket(only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(only_v6)?; // never left to the system
    Ok(socket)
}

fn listen(socket: Socket, port: u16) -> io::Result<TcpListener> {
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(128)?;
    Ok(socket.into())
}
// ANCHOR_END: everywhere
