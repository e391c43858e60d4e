use std::env;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::runtime::{Builder, Runtime};
use tokio::select;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How much is read at once, and so how much of a peer's answers waits here
/// at most, in bytes. The kernel's buffers hold more.
const PIECE: usize = 16 * 1024;

/// How many finished connections the kernel may keep for us.
const BACKLOG: u32 = 4096;

/// How long the clients may take to close once the server has been told to
/// stop, if nobody says.
const GRACE: Duration = Duration::from_secs(5);

/// How long an error of `accept` is not repeated in the log.
const COMPLAIN_AFTER: Duration = Duration::from_secs(10);

// ANCHOR: main
fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or(default.to_string());
    let addr = next("127.0.0.1:7134");
    let [connections, idle, threads] =
        [next("16000"), next("60000"), next("1")];
    let grace = args.next();
    match start(&addr, &connections, &idle, &threads, grace.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(
    addr: &str,
    connections: &str,
    idle: &str,
    threads: &str,
    grace: Option<&str>,
) -> Result<()> {
    let connections: NonZeroU32 = connections
        .parse()
        .with_context(|| format!("{connections} as a number of connections"))?;
    let connections = connections.get() as usize;
    let idle = milliseconds(idle)?;
    let grace = grace.map_or(Ok(GRACE), milliseconds)?;
    let threads: NonZeroUsize = threads
        .parse()
        .with_context(|| format!("{threads} as a number of threads"))?;
    runtime(threads)?.block_on(run(addr, connections, idle, grace))
}

fn milliseconds(text: &str) -> Result<Duration> {
    let milliseconds: NonZeroU32 = text
        .parse()
        .with_context(|| format!("{text} as a number of milliseconds"))?;
    Ok(Duration::from_millis(milliseconds.get().into()))
}

fn runtime(threads: NonZeroUsize) -> io::Result<Runtime> {
    match threads.get() {
        // The thread of `main` does everything.
        1 => Builder::new_current_thread().enable_all().build(),
        n => Builder::new_multi_thread()
            .worker_threads(n)
            .enable_all()
            .build(),
    }
}
// ANCHOR_END: main

// ANCHOR: run
async fn run(
    addr: &str,
    connections: usize,
    idle: Duration,
    grace: Duration,
) -> Result<()> {
    let signal = signal().context("ask for signals")?;
    let listener =
        listen(addr).await.with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let served = AtomicU64::new(0);
    select! {
        () = accept(listener, connections, idle, &stop, &tasks, &served) => {}
        () = signal => {}
    }
    // `accept` was dropped there, and the listener with it.

    stop.cancel();
    tasks.close();
    if timeout(grace, tasks.wait()).await.is_err() {
        log(format_args!("{} connections are cut off", tasks.len()));
    }
    log(format_args!("served {} connections", served.into_inner()));
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: listen
/// `TcpListener::bind`, which asks for a backlog of 128, with a longer one.
async fn listen(addr: &str) -> io::Result<TcpListener> {
    let mut failure = ErrorKind::AddrNotAvailable.into();
    for addr in lookup_host(addr).await? {
        match listen_at(addr) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}
// ANCHOR_END: listen

// ANCHOR: accept
/// Starts a task for each connection. Ends only by being dropped.
async fn accept(
    listener: TcpListener,
    connections: usize,
    idle: Duration,
    stop: &CancellationToken,
    tasks: &TaskTracker,
    served: &AtomicU64,
) {
    let places = Arc::new(Semaphore::new(connections));
    let mut complained: Option<Instant> = None;
    loop {
        // First a place, then a connection: others wait in the backlog.
        let Ok(place) = places.clone().acquire_owned().await else {
            return; // nobody closes this semaphore
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Its client has given up. The next one may be well.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {
                continue;
            }
            // Such as "too many open files": it stays until a descriptor is
            // closed, and must not make this loop a busy one, nor fill a disk.
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() > COMPLAIN_AFTER) {
                    log(format_args!("accept: {error}"));
                    complained = Some(Instant::now());
                }
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        served.fetch_add(1, Ordering::Relaxed);
        let stop = stop.clone();
        tasks.spawn(async move {
            serve(stream, peer, idle, stop).await;
            drop(place);
        });
    }
}
// ANCHOR_END: accept

// ANCHOR: serve
async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    idle: Duration,
    stop: CancellationToken,
) {
    log(format_args!("{peer}: connected"));
    let mut count = 0;
    match echo(&mut stream, idle, &stop, &mut count).await {
        Ok(()) => log(format_args!("{peer}: closed after {count} bytes")),
        Err(error) => {
            log(format_args!("{peer}: {error:#}, after {count} bytes"))
        }
    }
}
// ANCHOR_END: serve

// ANCHOR: echo
/// Sends back what arrives, until the peer closes its side or the server is
/// told to stop.
async fn echo(
    stream: &mut TcpStream,
    idle: Duration,
    stop: &CancellationToken,
    count: &mut u64,
) -> Result<()> {
    // Each answer is whole: there is nothing to wait for.
    stream.set_nodelay(true)?;
    loop {
        let bytes = select! {
            biased;
            // Here and nowhere else: what was received is answered.
            () = stop.cancelled() => return finish(stream, idle, count).await,
            bytes = timeout(idle, receive(stream)) => bytes,
        };
        let Ok(bytes) = bytes else {
            bail!("no progress for {idle:?}");
        };
        let bytes = bytes?;
        if bytes.is_empty() {
            return Ok(());
        }
        *count += bytes.len() as u64;
        send(stream, &bytes, idle).await?;
    }
}
// ANCHOR_END: echo

// ANCHOR: send
/// `write_all`, with a deadline for each step and not for the whole.
async fn send(
    stream: &mut TcpStream,
    mut bytes: &[u8],
    idle: Duration,
) -> Result<()> {
    while !bytes.is_empty() {
        let Ok(n) = timeout(idle, stream.write(bytes)).await else {
            bail!("no progress for {idle:?}");
        };
        bytes = &bytes[n?..];
    }
    Ok(())
}
// ANCHOR_END: send

// ANCHOR: receive
/// What has arrived; nothing at the end of the stream. Dropped early, it has
/// taken nothing.
async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        // On the stack of the thread, while this task runs. A buffer in the
        // task would be there while it waits, too, for each connection.
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().to_vec()))
    })
    .await
}
// ANCHOR_END: receive

// ANCHOR: finish
/// Answers what has arrived already, says that no more will come, and waits
/// until the peer has closed: a close with unread bytes would be a reset, and
/// could destroy the answer.
async fn finish(
    stream: &mut TcpStream,
    idle: Duration,
    count: &mut u64,
) -> Result<()> {
    // More than that can't be there.
    let most = SockRef::from(&*stream).recv_buffer_size()?;
    let mut taken = 0;
    while taken < most {
        let bytes = match waiting(stream) {
            Ok(bytes) if bytes.is_empty() => return Ok(()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        };
        taken += bytes.len();
        *count += bytes.len() as u64;
        send(stream, &bytes, idle).await?;
    }
    stream.shutdown().await?;
    while !receive(stream).await?.is_empty() {}
    Ok(())
}

/// Like [`receive`], without waiting. It asks the kernel itself, because the
/// runtime may not have heard of the last bytes yet.
fn waiting(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PIECE];
    let n = (&*SockRef::from(stream)).read(&mut bytes)?;
    bytes.truncate(n);
    Ok(bytes)
}
// ANCHOR_END: finish

// ANCHOR: signal
/// Ends with Ctrl-C, and on Unix with SIGTERM too. From the call on, neither
/// ends the process by itself.
#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(windows)]
fn signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
// ANCHOR_END: signal

/// Writes a line to the log. `eprintln!` would end the task with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
