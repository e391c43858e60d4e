use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::process::ExitCode;

use anyhow::Result;

fn main() -> ExitCode {
    match values().and_then(|()| bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("addresses-values: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: values
fn values() -> Result<()> {
    let v4: SocketAddr = "192.0.2.7:7001".parse()?;
    println!("{v4}: host {}, port {}", v4.ip(), v4.port());

    // The brackets keep the colons of the host apart from that of the port.
    let v6: SocketAddr = "[2001:db8::7]:7001".parse()?;
    println!("{v6}: host {}, port {}", v6.ip(), v6.port());

    // A link-local address holds on one link only, so it says which: number 2.
    let local: SocketAddrV6 = "[fe80::7%2]:7001".parse()?;
    println!(
        "{local}: scope {}, flow info {}",
        local.scope_id(),
        local.flowinfo()
    );

    // The same host and port on another link is another address.
    let other: SocketAddrV6 = "[fe80::7%3]:7001".parse()?;
    println!("{local} == {other}: {}", local == other);
    Ok(())
}
// ANCHOR_END: values

// ANCHOR: bytes
fn bytes() -> Result<()> {
    let port: u16 = 7001;
    let [high, low] = port.to_be_bytes();
    println!("port {port} travels as {high:#04x} {low:#04x}");

    let swapped = u16::from_le_bytes([high, low]);
    println!("in the wrong order it is port {swapped}");

    let ip = Ipv4Addr::new(192, 0, 2, 7);
    println!("{ip} travels as {:?}", ip.octets());
    println!("{} is the same host", IpAddr::from(ip.octets()));
    Ok(())
}
// ANCHOR_END: bytes
