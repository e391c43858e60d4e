use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

/// How long a client may take for a frame, unless the second argument says
/// otherwise.
const PATIENCE: u64 = 10_000; // milliseconds

/// How many clients are served at once. The others wait in the backlog.
const CLIENTS: usize = 1000;

/// A longer frame is not printed, only its length.
const PRINTED: usize = 60; // bytes

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7121".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match start(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("length-delimited-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(addr: &str, patience: &str) -> Result<()> {
    let patience: NonZeroU32 = patience
        .parse()
        .with_context(|| format!("{patience} as a number of milliseconds"))?;
    let patience = Duration::from_millis(patience.get().into());
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(addr, patience))
}

async fn run(addr: &str, patience: Duration) -> Result<()> {
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let place = places.clone().acquire_owned().await?;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not make this loop a busy one.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::spawn(async move {
            match receive(stream, peer, patience).await {
                Ok(count) => log(format_args!("{peer}: closed after {count}")),
                Err(error) => log(format_args!("{peer}: {error:#}")),
            }
            drop(place);
        });
    }
}

// ANCHOR: receive
/// The longest frame that is taken, in bytes. Without it, it would be 8 MiB.
const LIMIT: usize = 64 * 1024;

/// How many bytes the length has.
const PREFIX: usize = 4;

/// Takes frames until the peer closes; returns how many.
async fn receive(
    stream: TcpStream,
    peer: SocketAddr,
    patience: Duration,
) -> Result<u64> {
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(LIMIT)
        // The prefix stays in front of the payload. Without it, a stream
        // that ends right after a prefix would pass for a whole one.
        .length_adjustment(PREFIX as isize)
        .num_skip(0)
        .new_codec();
    let mut frames = FramedRead::new(stream, codec);
    let mut count = 0;
    loop {
        let next = timeout(patience, frames.next())
            .await
            .with_context(|| format!("no whole frame within {patience:?}"))?;
        let Some(frame) = next else {
            return Ok(count);
        };
        show(peer, &frame?[PREFIX..]);
        count += 1;
    }
}
// ANCHOR_END: receive

fn show(peer: SocketAddr, frame: &[u8]) {
    let length = frame.len();
    if length > PRINTED {
        return log(format_args!("{peer}: frame of {length} bytes"));
    }
    // Quoted, so that a peer can't send commands to our terminal.
    let text = String::from_utf8_lossy(frame);
    log(format_args!("{peer}: frame {text:?}"));
}

/// Writes a line to the log. `eprintln!` would end the task with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
