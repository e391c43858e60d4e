use std::env;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read};
use std::net::TcpListener;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Token};

/// How long the client may take for the whole conversation.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7180")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("polled-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str) -> Result<()> {
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    drive(TcpStream::from_std(stream)).with_context(|| format!("serve {peer}"))
}

// ANCHOR: word
/// A length of two bytes, big-endian, and then as many bytes.
async fn word(stream: &TcpStream) -> io::Result<String> {
    println!("word: the length");
    let mut length = [0; 2];
    read_exact(stream, &mut length).await?;
    let length = u16::from_be_bytes(length);
    println!("word: {length} bytes");
    let mut word = vec![0; length.into()];
    read_exact(stream, &mut word).await?;
    println!("word: all of it");
    Ok(String::from_utf8_lossy(&word).into_owned())
}
// ANCHOR_END: word

// ANCHOR: read
async fn read_exact(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut have = 0;
    while have < buffer.len() {
        have += poll_fn(|_| read(stream, &mut buffer[have..])).await?;
    }
    Ok(())
}

/// Where all waiting begins: the kernel has nothing, so this is `Pending`.
fn read(mut stream: &TcpStream, space: &mut [u8]) -> Poll<io::Result<usize>> {
    match stream.read(space) {
        Ok(0) => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}
// ANCHOR_END: read

// ANCHOR: drive
fn drive(mut stream: TcpStream) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut epoll = mio::Poll::new()?;
    let interest = Interest::READABLE;
    epoll.registry().register(&mut stream, Token(0), interest)?;
    let mut events = Events::with_capacity(8);

    let mut future = pin!(word(&stream));
    println!("called: a future of {} bytes", size_of_val(&*future));
    let mut cx = task::Context::from_waker(Waker::noop());
    loop {
        println!("poll");
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(word) => {
                println!("Ready({:?})", word?);
                return Ok(());
            }
            Poll::Pending => println!("Pending"),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no word within {PATIENCE:?}");
        }
        match epoll.poll(&mut events, Some(left)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => done?,
        }
    }
}
// ANCHOR_END: drive
