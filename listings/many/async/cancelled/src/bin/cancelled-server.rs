use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cancelled::frames::{Decoder, Framing};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::select;
use tokio::time::{Instant, interval_at, sleep, timeout};

/// The longest frame that is taken, in bytes.
const LIMIT: usize = 64 * 1024;

/// How long a client may stay.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the log says how many frames there were.
const EVERY: Duration = Duration::from_millis(160);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7181".to_string());
    let way = args.next().unwrap_or_else(|| "kept".to_string());
    match start(&addr, &way) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cancelled-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(addr: &str, way: &str) -> Result<()> {
    let lose = match way {
        "lost" => true,
        "kept" => false,
        _ => bail!("{way} is neither lost nor kept"),
    };
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(addr, lose))
}

/// Serves one client after the other.
async fn run(addr: &str, lose: bool) -> Result<()> {
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log(format_args!("accept: {error}"));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let served = async {
            match lose {
                true => lost(stream, peer).await,
                false => kept(stream, peer).await,
            }
        };
        match timeout(PATIENCE, served).await {
            Ok(Ok(())) => log(format_args!("{peer}: closed")),
            Ok(Err(error)) => log(format_args!("{peer}: {error:#}")),
            Err(_) => log(format_args!("{peer}: stayed too long")),
        }
    }
}

// ANCHOR: lost
/// The mistake: when the clock strikes, `read_frame` is dropped, and with it
/// what it had read.
async fn lost(mut stream: TcpStream, peer: SocketAddr) -> Result<()> {
    let mut clock = interval_at(Instant::now() + EVERY, EVERY);
    let mut count = 0;
    loop {
        select! {
            frame = read_frame(&mut stream) => {
                let Some(frame) = frame? else { return Ok(()) };
                show(peer, &frame);
                count += 1;
            }
            _ = clock.tick() => log(format_args!("{peer}: {count} so far")),
        }
    }
}

/// A length of four bytes, big-endian, and then as many bytes.
async fn read_frame(stream: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    // Here 0 means the end of the stream, and anything else is one byte.
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LIMIT {
        bail!("a frame of {length} bytes, and the limit is {LIMIT}");
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(Some(payload))
}
// ANCHOR_END: lost

// ANCHOR: kept
/// The cure: what has arrived is in `decoder`, and `decoder` stays. `read`
/// either puts bytes there or has taken none.
async fn kept(mut stream: TcpStream, peer: SocketAddr) -> Result<()> {
    let mut clock = interval_at(Instant::now() + EVERY, EVERY);
    let mut decoder = Decoder::new(Framing::U32, LIMIT);
    let mut count = 0;
    loop {
        select! {
            n = stream.read(decoder.space()) => {
                let n = n?;
                if n == 0 {
                    return Ok(decoder.finish()?);
                }
                decoder.filled(n);
                while let Some(frame) = decoder.next_frame()? {
                    show(peer, frame);
                    count += 1;
                }
            }
            _ = clock.tick() => log(format_args!("{peer}: {count} so far")),
        }
    }
}
// ANCHOR_END: kept

fn show(peer: SocketAddr, frame: &[u8]) {
    // Quoted, so that a peer can't send commands to our terminal.
    let text = String::from_utf8_lossy(&frame[..frame.len().min(60)]);
    log(format_args!("{peer}: frame {text:?}"));
}

/// Writes a line to the log. `eprintln!` would end the task with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
