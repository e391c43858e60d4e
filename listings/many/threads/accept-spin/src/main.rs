use std::env;
use std::fs::File;
use std::io::{Read, Seek};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

fn main() -> ExitCode {
    let how = env::args().nth(1).unwrap_or_else(|| "spin".to_string());
    match run(&how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("accept-spin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(how: &str) -> Result<()> {
    let pause = match how {
        "spin" => Duration::ZERO,
        "pause" => Duration::from_millis(100),
        other => bail!("{other}: neither spin nor pause"),
    };
    ensure!(
        cfg!(target_os = "linux"),
        "it reads Linux's clock of a thread"
    );
    let mut clock = File::open("/proc/thread-self/schedstat")?;
    let listener = TcpListener::bind("127.0.0.1:0").context("bind")?;
    let addr = listener.local_addr()?;
    let _client = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;

    // Take every descriptor that this process may have.
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }

    let busy = processor_time(&mut clock)?;
    let start = Instant::now();
    let mut failures = 0;
    while start.elapsed() < Duration::from_secs(1) {
        if let Err(error) = listener.accept() {
            failures += 1;
            if failures == 1 {
                println!("accept: {error}");
            }
            thread::sleep(pause);
        }
    }
    let busy = processor_time(&mut clock)? - busy;
    println!("{failures} times in a second");
    println!("{} ms of processor time", busy.as_millis());

    drop(files);
    listener.accept().context("accept")?;
    println!("with a descriptor again, accept takes the client");
    Ok(())
}
// ANCHOR_END: run

/// How long this thread has run so far.
fn processor_time(clock: &mut File) -> Result<Duration> {
    let mut text = String::new();
    clock.rewind()?;
    clock.read_to_string(&mut text)?;
    let nanoseconds = text.split(' ').next().unwrap_or_default();
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}
