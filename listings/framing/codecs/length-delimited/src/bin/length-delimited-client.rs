use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::time::timeout;
use tokio_util::codec::{FramedWrite, LengthDelimitedCodec};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7121".to_string());
    let mut messages: Vec<String> = args.collect();
    if messages.is_empty() {
        messages.push("hello".to_string());
    }
    match start(&addr, messages) {
        Ok(count) => {
            println!("frames sent: {count}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("length-delimited-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(addr: &str, messages: Vec<String>) -> Result<usize> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { timeout(PATIENCE, run(addr, messages)).await })
        .with_context(|| format!("{addr}: not done within {PATIENCE:?}"))?
}

// ANCHOR: run
/// The longest frame that the server takes, in bytes.
const LIMIT: usize = 64 * 1024;

async fn run(addr: &str, messages: Vec<String>) -> Result<usize> {
    let stream = TcpStream::connect(addr).await;
    let stream = stream.with_context(|| format!("connect to {addr}"))?;
    stream.set_nodelay(true)?;
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(LIMIT)
        .new_codec();
    let mut frames = FramedWrite::new(stream, codec);
    let count = messages.len();
    for message in messages {
        frames
            .feed(Bytes::from(message))
            .await
            .with_context(|| format!("send to {addr}"))?;
    }
    // What was fed is in our own buffer, and `Drop` does not write it.
    SinkExt::<Bytes>::flush(&mut frames)
        .await
        .with_context(|| format!("send to {addr}"))?;
    Ok(count)
}
// ANCHOR_END: run
