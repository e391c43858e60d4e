use std::fs::File;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("out-of-descriptors: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(8);

    let _client = TcpStream::connect(listener.local_addr()?)?;
    poll.poll(&mut events, None)?;
    let mut files = take_all()?;

    // Somebody is in the queue, and there is no descriptor for them.
    let start = Instant::now();
    let mut failures = 0;
    while start.elapsed() < Duration::from_millis(100) {
        failures += u32::from(listener.accept().is_err());
    }
    println!("tried at once again: {failures} failures in 100 ms");

    files.pop();
    poll.poll(&mut events, Some(Duration::from_millis(300)))?;
    let count = events.iter().count();
    println!("a descriptor is free: {count} events in 300 ms");

    files.extend(File::open("/dev/null"));
    let mut failures = 0;
    while listener.accept().is_err() {
        failures += 1;
        thread::sleep(Duration::from_millis(100));
        files.pop(); // meanwhile somebody has closed something
    }
    println!("tried after a pause: accepted, after {failures} failure");
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: take_all
/// Opens files until there are no descriptors left.
#[cfg(unix)]
fn take_all() -> Result<Vec<File>> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // 64 are enough to run out of.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(64);
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    Ok(std::iter::from_fn(|| File::open("/dev/null").ok()).collect())
}
// ANCHOR_END: take_all

#[cfg(not(unix))]
fn take_all() -> Result<Vec<File>> {
    anyhow::bail!("this program needs the limits of Unix")
}
