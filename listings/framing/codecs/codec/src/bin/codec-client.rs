use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use codec::header::Kind;
use codec::{Message, MessageCodec};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::time::timeout;
use tokio_util::codec::Framed;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7122".to_string());
    let mut requests: Vec<String> = args.collect();
    if requests.is_empty() {
        requests.push("hello".to_string());
    }
    match start(&addr, requests) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("codec-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(addr: &str, requests: Vec<String>) -> Result<()> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { timeout(PATIENCE, run(addr, requests)).await })
        .with_context(|| format!("{addr}: not done within {PATIENCE:?}"))?
}

// ANCHOR: run
async fn run(addr: &str, requests: Vec<String>) -> Result<()> {
    let stream = TcpStream::connect(addr).await;
    let stream = stream.with_context(|| format!("connect to {addr}"))?;
    stream.set_nodelay(true)?;
    let mut messages = Framed::new(stream, MessageCodec);
    for request in requests {
        let message = Message {
            kind: Kind::Ask,
            flags: 0,
            body: request.into(),
        };
        messages
            .send(message)
            .await
            .with_context(|| format!("send to {addr}"))?;
        let answer = messages
            .next()
            .await
            .with_context(|| format!("{addr} closed without an answer"))?
            .with_context(|| format!("receive from {addr}"))?;
        ensure!(answer.kind == Kind::Answer, "{addr} sent no answer");
        println!("answer {:?}", String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}
// ANCHOR_END: run
