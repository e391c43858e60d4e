use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// How long a client may be silent, or not read.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many clients are served at once.
const CLIENTS: usize = 100;

/// How many threads may do what can't be awaited. More of it waits.
const THREADS: usize = 16;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7182".to_string());
    let way = args.next().unwrap_or_else(|| "aside".to_string());
    match start(&addr, &way) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stall-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(addr: &str, way: &str) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build()?;
    runtime.block_on(async {
        match way {
            "block" => run(listen(addr).await?, true).await,
            "aside" => run(listen(addr).await?, false).await,
            "from-std" => run(from_std(addr, false)?, false).await,
            "nonblocking" => run(from_std(addr, true)?, false).await,
            _ => bail!("{way} is none of block, aside, from-std, nonblocking"),
        }
    })
}

async fn listen(addr: &str) -> Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("bind {addr}"))
}

// ANCHOR: from-std
/// A listener of `std` waits in `accept`, unless it is told otherwise.
fn from_std(addr: &str, nonblocking: bool) -> Result<TcpListener> {
    let listener = std::net::TcpListener::bind(addr)
        .with_context(|| format!("bind {addr}"))?;
    if nonblocking {
        listener.set_nonblocking(true)?; // the line that gets forgotten
    }
    Ok(TcpListener::from_std(listener)?)
}
// ANCHOR_END: from-std

async fn run(listener: TcpListener, block: bool) -> Result<()> {
    println!("listening on {}", listener.local_addr()?);
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let place = places.clone().acquire_owned().await?;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::spawn(async move {
            log(format_args!("{peer}: connected"));
            match serve(stream, block).await {
                Ok(()) => log(format_args!("{peer}: closed")),
                Err(error) => log(format_args!("{peer}: {error:#}")),
            }
            drop(place);
        });
    }
}

// ANCHOR: serve
/// Sends back what arrives. If there is a `z` in it, that takes a while.
async fn serve(mut stream: TcpStream, block: bool) -> Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let n = timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .context("silent")??;
        if n == 0 {
            return Ok(());
        }
        if buffer[..n].contains(&b'z') {
            if block {
                work(); // the mistake: no `await`, and all the others wait
            } else {
                spawn_blocking(work).await?;
            }
        }
        timeout(PATIENCE, stream.write_all(&buffer[..n]))
            .await
            .context("reads nothing")??;
    }
}

/// Stands for anything that takes long and can't be awaited: a file, a hash
/// of a password, a database whose driver blocks.
fn work() {
    thread::sleep(Duration::from_millis(300));
}
// ANCHOR_END: serve

/// Writes a line to the log. `eprintln!` would end the task with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
