use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    // Bound, not listening: nobody answers, and nobody can take the port.
    let silent = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let addr = silent.local_addr()?.as_socket().context("an IP address")?;

    // ANCHOR: call
    let Err(error) = TcpStream::connect(addr) else {
        bail!("somebody answered at {addr}")
    };
    println!("{:?} is {:?}", error.raw_os_error(), error.kind());

    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.connect(&addr.into()) {
        println!("{:?} is not the end of it", error.raw_os_error());
    }
    let until = Instant::now() + PATIENCE;
    let error = loop {
        if let Some(error) = socket.take_error()? {
            break error;
        }
        ensure!(Instant::now() < until, "no answer from {addr}");
        thread::sleep(Duration::from_millis(1));
    };
    println!("{:?} is", error.raw_os_error());
    // ANCHOR_END: call
    Ok(())
}
