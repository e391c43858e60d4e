use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use codec::header::{Kind, QUIET};
use codec::{Message, MessageCodec};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::codec::Framed;

/// How long a client may take for a message, and for taking an answer, unless
/// the second argument says otherwise.
const PATIENCE: u64 = 10_000; // milliseconds

/// How many clients are served at once. The others wait in the backlog.
const CLIENTS: usize = 1000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7122".to_string());
    let patience = args.next().unwrap_or_else(|| PATIENCE.to_string());
    match start(&addr, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("codec-server: {error:#}");
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

// ANCHOR: run
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
            match serve(stream, peer, patience).await {
                Ok(count) => log(format_args!("{peer}: closed after {count}")),
                Err(error) => log(format_args!("{peer}: {error:#}")),
            }
            drop(place);
        });
    }
}
// ANCHOR_END: run

// ANCHOR: serve
/// Answers each request in upper case, until the peer closes; returns how
/// many messages there were.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    patience: Duration,
) -> Result<u64> {
    // Answers are whole messages: there is nothing to wait for.
    stream.set_nodelay(true)?;
    let mut messages = Framed::new(stream, MessageCodec);
    let mut count = 0;
    loop {
        let next = timeout(patience, messages.next())
            .await
            .with_context(|| format!("no whole message within {patience:?}"))?;
        let Some(message) = next else {
            return Ok(count);
        };
        let Message { kind, flags, body } = message?;
        count += 1;
        match kind {
            Kind::Ask if flags & QUIET != 0 => {}
            Kind::Ask => {
                let answer = Message {
                    kind: Kind::Answer,
                    flags: 0,
                    body: body.to_ascii_uppercase().into(),
                };
                timeout(patience, messages.send(answer))
                    .await
                    .with_context(|| format!("not read for {patience:?}"))??;
            }
            // The length tells where the next one begins.
            other => log(format_args!("{peer}: {other:?} is skipped")),
        }
    }
}
// ANCHOR_END: serve

/// Writes a line to the log. `eprintln!` would end the task with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
