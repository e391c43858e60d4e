use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What the client sends at most, in bytes.
const MOST: usize = 64 << 20;

/// A client that gets rid of nothing so often, each time for so long, is taken
/// to be stuck. Once would be too little: this process may have been asleep.
const TRIES: usize = 10;
const STUCK: Duration = Duration::from_millis(50);

/// How much is read at once, in bytes.
const PIECE: usize = 16 * 1024;

/// How many pieces may wait in the bounded queue.
const PIECES: usize = 4;

/// How many bytes have been read and not written yet.
static WAITING: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    let way = env::args().nth(1).unwrap_or_else(|| "bounded".to_string());
    match start(&way) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unbounded: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(way: &str) -> Result<()> {
    let bounded = match way {
        "unbounded" => false,
        "bounded" => true,
        _ => bail!("{way} is neither unbounded nor bounded"),
    };
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(bounded))
}

// ANCHOR: run
/// One client sends, one never reads, and what the first sends is for the
/// second.
async fn run(bounded: bool) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let _receiver = TcpStream::connect(addr)
        .await
        .with_context(|| format!("connect to {addr}"))?;
    let (to, _) = listener.accept().await?;
    let sender = tokio::spawn(flood(addr));
    let (from, _) = listener.accept().await?;
    tokio::spawn(async move {
        match bounded {
            false => relay_unbounded(from, to).await,
            true => relay_bounded(from, to).await,
        }
    });
    let (sent, _stream) = sender.await??;
    println!("sent    {:6} KiB", sent / 1024);
    println!("waiting {:6} KiB", WAITING.load(Ordering::Relaxed) / 1024);
    Ok(())
}

/// Sends until it is stuck, or has sent enough.
async fn flood(addr: SocketAddr) -> Result<(usize, TcpStream)> {
    let mut stream = TcpStream::connect(addr)
        .await
        .with_context(|| format!("connect to {addr}"))?;
    let piece = [b'x'; PIECE];
    let (mut sent, mut tries) = (0, 0);
    while sent < MOST && tries < TRIES {
        match timeout(STUCK, stream.write(&piece)).await {
            Ok(n) => (sent, tries) = (sent + n?, 0),
            Err(_) => tries += 1,
        }
    }
    Ok((sent, stream))
}
// ANCHOR_END: run

// ANCHOR: unbounded
/// The mistake: `send` never waits, so nothing ever stops the reading.
async fn relay_unbounded(
    mut from: TcpStream,
    mut to: TcpStream,
) -> io::Result<()> {
    let (queue, mut queued) = mpsc::unbounded_channel::<Vec<u8>>();
    let writing = tokio::spawn(async move {
        while let Some(piece) = queued.recv().await {
            to.write_all(&piece).await?;
            WAITING.fetch_sub(piece.len(), Ordering::Relaxed);
        }
        Ok(())
    });
    let mut buffer = vec![0; PIECE];
    loop {
        let n = from.read(&mut buffer).await?;
        WAITING.fetch_add(n, Ordering::Relaxed);
        if n == 0 || queue.send(buffer[..n].to_vec()).is_err() {
            break;
        }
    }
    drop(queue); // the end of the queue, so that the other task ends too
    writing.await?
}
// ANCHOR_END: unbounded

// ANCHOR: bounded
/// The cure: a queue with a length, and a `send` that waits.
async fn relay_bounded(
    mut from: TcpStream,
    mut to: TcpStream,
) -> io::Result<()> {
    let (queue, mut queued) = mpsc::channel::<Vec<u8>>(PIECES);
    let writing = tokio::spawn(async move {
        while let Some(piece) = queued.recv().await {
            to.write_all(&piece).await?;
            WAITING.fetch_sub(piece.len(), Ordering::Relaxed);
        }
        Ok(())
    });
    let mut buffer = vec![0; PIECE];
    loop {
        let n = from.read(&mut buffer).await?;
        WAITING.fetch_add(n, Ordering::Relaxed);
        if n == 0 || queue.send(buffer[..n].to_vec()).await.is_err() {
            break;
        }
    }
    drop(queue);
    writing.await?
}
// ANCHOR_END: bounded
