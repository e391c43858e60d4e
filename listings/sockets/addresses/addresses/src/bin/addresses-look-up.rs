use std::env;
use std::io;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let name = env::args().nth(1);
    let name = name.as_deref().unwrap_or("localhost:7001");
    match look_up(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("addresses-look-up: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: look-up
fn look_up(name: &str) -> io::Result<()> {
    let start = Instant::now();
    let addrs = name.to_socket_addrs()?; // waits for the answer
    let waited = start.elapsed();
    for addr in addrs {
        println!("{addr}");
    }
    eprintln!("looked up {name} in {waited:?}");
    Ok(())
}
// ANCHOR_END: look-up
