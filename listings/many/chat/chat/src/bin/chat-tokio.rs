use std::env;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chat::{
    ENDS, Ending, GRACE, HUNG_UP, KERNEL, LATE, LOBBY, LOST, Line, Lines, Pace,
    QUEUE, Room, SLOW, milliseconds,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio::{runtime, select};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or(default.to_string());
    let addr = next("127.0.0.1:7141");
    let [members, patience] = [next("100"), next("10000")];
    let grace = args.next();
    match start(&addr, &members, &patience, grace.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-tokio: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(
    addr: &str,
    members: &str,
    patience: &str,
    grace: Option<&str>,
) -> Result<()> {
    let members: NonZeroU32 = members
        .parse()
        .with_context(|| format!("{members} as a number of members"))?;
    let members = members.get() as usize;
    let patience = milliseconds(patience)?;
    let grace = grace.map_or(Ok(GRACE), milliseconds)?;
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(addr, members, patience, grace))
}

// ANCHOR: run
async fn run(
    addr: &str,
    members: usize,
    patience: Duration,
    grace: Duration,
) -> Result<()> {
    let signal = signal().context("ask for signals")?;
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    let house = Arc::new(House::new(members, patience, grace));
    let tasks = TaskTracker::new();
    select! {
        () = accept(&house, listener, &tasks) => {}
        () = signal => {}
    }
    // `accept` was dropped there, and the listener with it.

    house.stop.cancel();
    house.room().close();
    tasks.close();
    if timeout(grace, tasks.wait()).await.is_err() {
        log(format_args!("{} connections are cut off", tasks.len()));
    }
    log(format_args!("served {} members", house.room().served));
    Ok(())
}
// ANCHOR_END: run

/// Starts a task for each connection. Ends only by being dropped.
async fn accept(
    house: &Arc<House>,
    listener: TcpListener,
    tasks: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(house.room().places + LOBBY));
    let mut failing = false;
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
            Err(error) => {
                if !failing {
                    log(format_args!("accept: {error}"));
                }
                // An error that lasts must not make this loop a busy one.
                failing = true;
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        failing = false;
        let house = house.clone();
        tasks.spawn(async move {
            serve(&house, stream, peer).await;
            drop(place);
        });
    }
}

// ANCHOR: serve
/// The task: one connection from its first line to its end.
async fn serve(house: &House, mut stream: TcpStream, peer: SocketAddr) {
    if let Err(error) = prepare(&stream, house.patience) {
        return log(format_args!("{peer}: {error}"));
    }
    let (mut reader, mut writer) = stream.split();
    let mut lines = Lines::default();
    let name = read_line(&mut reader, &mut lines);
    let name = select! {
        name = timeout(house.patience, name) => {
            name.unwrap_or_else(|_| Err(LATE.to_string()))
        }
        () = house.stop.cancelled() => Err(ENDS.to_string()),
    };
    let (sender, queue) = mpsc::channel(QUEUE);
    let joined = house.room().join(name, sender);
    let whole = match joined {
        Ok((id, name, ending)) => {
            log(format_args!("{peer}: {name} joined"));
            let reading = async {
                let why = read_lines(house, id, &mut reader, &mut lines).await;
                house.room().leave(id, &why);
            };
            let writing = write_lines(house, id, &mut writer, queue, &ending);
            let mut writing = pin!(writing);
            let whole = select! {
                // What waits in the queue still goes out, and a goodbye.
                () = reading => writing.await,
                whole = &mut writing => whole,
            };
            let why = ending.get().map_or("", |ending| &ending.why);
            log(format_args!("{peer}: {name} left: {why}"));
            whole
        }
        Err(why) => {
            log(format_args!("{peer}: refused: {why}"));
            say_goodbye(&mut writer, &why, house.patience).await;
            true
        }
    };
    if whole {
        let _ = timeout(house.patience, drain(&mut reader)).await;
    }
}
// ANCHOR_END: serve

fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // Each write is a whole line: there is nothing to wait for.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(KERNEL)?;
    // Who is silent may be well. Who is dead is gone after 3 × `patience`,
    // also while a line for it is under way. Keepalive counts in seconds.
    let interval = patience.max(Duration::from_secs(1));
    let asking = TcpKeepalive::new().with_time(interval);
    let asking = asking.with_interval(interval).with_retries(2);
    socket.set_tcp_keepalive(&asking)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(3 * patience))?;
    Ok(())
}

/// Says in the room what the member says, until one of both ends it; returns
/// why.
async fn read_lines(
    house: &House,
    id: u64,
    reader: &mut ReadHalf<'_>,
    lines: &mut Lines,
) -> String {
    let mut pace = Pace::start();
    loop {
        let line = match read_line(reader, lines).await {
            Ok(line) => line,
            Err(why) => return why,
        };
        // Whoever floods is read more slowly, and waits in its own writes.
        match pace.wait() {
            // The writers go first all the same: one thread runs all.
            Duration::ZERO => yield_now().await,
            wait => sleep(wait).await,
        }
        if !house.room().say(id, &line) {
            return SLOW.to_string(); // or so: the room knows it better
        }
    }
}

/// Sends what waits in the queue, until the room has dropped the other end of
/// it; returns whether all lines were sent whole.
async fn write_lines(
    house: &House,
    id: u64,
    writer: &mut WriteHalf<'_>,
    mut queue: Receiver<Line>,
    ending: &OnceLock<Ending>,
) -> bool {
    while let Some(line) = queue.recv().await {
        let late = ending.get().is_some_and(|end| end.by < Instant::now());
        let sent = writer.write_all(line.as_bytes());
        let why = match timeout(house.patience, sent).await {
            Ok(Ok(())) if !late => continue,
            Ok(Err(_)) => LOST,
            _ => SLOW,
        };
        // Nothing can follow half a line.
        house.room().leave(id, why);
        return false;
    }
    if let Some(ending) = ending.get() {
        say_goodbye(writer, &ending.why, house.patience).await;
    }
    true
}

async fn say_goodbye(
    writer: &mut WriteHalf<'_>,
    why: &str,
    patience: Duration,
) {
    let line = format!("* goodbye: {why}\n");
    let _ = timeout(patience, writer.write_all(line.as_bytes())).await;
    let _ = writer.shutdown().await;
}

/// Reads until the peer has closed: a close with unread bytes would be a
/// reset, and could destroy the goodbye.
async fn drain(stream: &mut ReadHalf<'_>) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
}

/// The next line, or why there is none. Dropped early, it has lost nothing:
/// what has arrived is in `lines`.
async fn read_line(
    reader: &mut ReadHalf<'_>,
    lines: &mut Lines,
) -> Result<String, String> {
    loop {
        if let Some(line) = lines.next_line() {
            return line;
        }
        let mut piece = [0; 1024];
        match reader.read(&mut piece).await {
            Ok(0) => return Err(HUNG_UP.to_string()),
            Ok(n) => lines.push(&piece[..n]),
            Err(_) => return Err(LOST.to_string()),
        }
    }
}

struct House {
    room: Mutex<Room<Sender<Line>>>,
    stop: CancellationToken,
    patience: Duration,
}

impl House {
    fn new(places: usize, patience: Duration, grace: Duration) -> House {
        House {
            room: Mutex::new(Room::new(places, grace)),
            stop: CancellationToken::new(),
            patience,
        }
    }

    fn room(&self) -> MutexGuard<'_, Room<Sender<Line>>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

/// Writes a line to the log. `eprintln!` would end the task with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
