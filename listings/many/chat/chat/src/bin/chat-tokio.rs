use std::collections::{BTreeMap, VecDeque};
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

/// The longest line, in bytes, and the longest name, in characters.
const LONGEST: usize = 512;
const NAME: usize = 16;

/// How many lines wait for a member at most, and how many bytes in the kernel
/// behind them. Linux doubles the second number.
const QUEUE: usize = 512;
const KERNEL: usize = 8 * 1024;

/// A member may say a line each 100 ms, and ten at once after a rest.
const EACH: Duration = Duration::from_millis(100);
const BURST: u32 = 10;

/// How many connections without a name there may be beside the members.
const LOBBY: usize = 16;

/// How long the goodbyes may take when the server ends.
const GRACE: Duration = Duration::from_secs(5);

const SLOW: &str = "reads too slowly";
const LOST: &str = "connection lost";
const ENDS: &str = "the server ends";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or(default.to_string());
    let addr = next("127.0.0.1:7141");
    let [members, patience] = [next("100"), next("10")];
    match start(&addr, &members, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-tokio: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(addr: &str, members: &str, patience: &str) -> Result<()> {
    let members: NonZeroU32 = members
        .parse()
        .with_context(|| format!("{members} as a number of members"))?;
    let members = members.get() as usize;
    let patience: NonZeroU32 = patience
        .parse()
        .with_context(|| format!("{patience} as a number of seconds"))?;
    let patience = Duration::from_secs(patience.get().into());
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(addr, members, patience))
}

// ANCHOR: run
async fn run(addr: &str, members: usize, patience: Duration) -> Result<()> {
    let signal = signal().context("ask for signals")?;
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    let house = Arc::new(House::new(members, patience));
    let tasks = TaskTracker::new();
    select! {
        () = accept(&house, listener, &tasks) => {}
        () = signal => {}
    }
    // `accept` was dropped there, and the listener with it.

    house.stop.cancel();
    house.room().close();
    tasks.close();
    if timeout(GRACE, tasks.wait()).await.is_err() {
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
    let (reader, mut writer) = stream.split();
    let mut lines = Lines::new(reader);
    let name = select! {
        name = timeout(house.patience, lines.next()) => {
            name.unwrap_or_else(|_| Err("no name in time".to_string()))
        }
        () = house.stop.cancelled() => Err(ENDS.to_string()),
    };
    let joined = house.room().join(name);
    let whole = match joined {
        Ok((id, name, queue, ending)) => {
            log(format_args!("{peer}: {name} joined"));
            let reading = async {
                let why = read_lines(house, id, &mut lines).await;
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
        let _ = timeout(house.patience, drain(&mut lines.stream)).await;
    }
}
// ANCHOR_END: serve

fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // Each write is a whole line: there is nothing to wait for.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(KERNEL)?;
    // Who is silent may be well. Who is dead is gone after 3 × `patience`,
    // also while a line for it is under way.
    let asking = TcpKeepalive::new().with_time(patience);
    let asking = asking.with_interval(patience).with_retries(2);
    socket.set_tcp_keepalive(&asking)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(3 * patience))?;
    Ok(())
}

// ANCHOR: read
/// Says in the room what the member says, until one of both ends it; returns
/// why.
async fn read_lines(house: &House, id: u64, lines: &mut Lines<'_>) -> String {
    let mut pace = Pace(Instant::now());
    loop {
        let line = match lines.next().await {
            Ok(line) => line,
            Err(why) => return why,
        };
        // Whoever floods is read more slowly, and waits in its own writes.
        sleep(pace.wait()).await;
        if !house.room().say(id, &line) {
            return SLOW.to_string(); // or so: the room knows it better
        }
        // Now the writers, before anybody says more: one thread runs all.
        yield_now().await;
    }
}
// ANCHOR_END: read

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

/// A line is stored once, for however many members it waits.
type Line = Arc<str>;

/// Who is here. Whoever has its lock never waits for a peer.
struct Room {
    open: bool,
    places: usize,
    served: u64,
    members: BTreeMap<u64, Member>,
}

struct Member {
    name: String,
    queue: Sender<Line>,
    ending: Arc<OnceLock<Ending>>,
}

/// Why a member has left, and until when the last lines may be sent.
struct Ending {
    why: String,
    by: Instant,
}

type Joined = (u64, String, Receiver<Line>, Arc<OnceLock<Ending>>);

impl Room {
    fn join(&mut self, name: Result<String, String>) -> Result<Joined, String> {
        if !self.open {
            return Err(ENDS.to_string());
        }
        let name = name?;
        let allowed = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if !(1..=NAME).contains(&name.chars().count())
            || !name.chars().all(allowed)
        {
            return Err(format!("a name is 1 to {NAME} letters and digits"));
        }
        if self.members.len() == self.places {
            return Err("the room is full".to_string());
        }
        let names = self.members.values().map(|member| &*member.name);
        let mut here: Vec<&str> = names.collect();
        if here.contains(&&*name) {
            return Err(format!("the name {name} is taken"));
        }
        here.push(&name);
        let (queue, lines) = mpsc::channel(QUEUE);
        let here = format!("* here: {}\n", here.join(", "));
        let _ = queue.try_send(here.into()); // it is empty: there is room
        let ending = Arc::new(OnceLock::new());
        let member = Member {
            name: name.clone(),
            queue,
            ending: ending.clone(),
        };
        self.served += 1;
        let id = self.served;
        self.members.insert(id, member);
        self.tell(id, format!("* {name} joined\n"));
        Ok((id, name, lines, ending))
    }

    /// Whether the member is still one.
    fn say(&mut self, id: u64, text: &str) -> bool {
        let Some(member) = self.members.get(&id) else {
            return false;
        };
        let line = format!("{}: {text}\n", member.name);
        self.tell(id, line);
        true
    }

    fn leave(&mut self, id: u64, why: &str) {
        if let Some(member) = self.members.remove(&id) {
            let line = format!("* {} left: {why}\n", member.name);
            member.end(why);
            self.tell(id, line);
        }
    }

    /// Says goodbye to everybody.
    fn close(&mut self) {
        self.open = false;
        for member in std::mem::take(&mut self.members).into_values() {
            member.end(ENDS);
        }
    }

    /// Puts a line into every queue but one. Who has no room for it leaves.
    fn tell(&mut self, from: u64, line: String) {
        let mut from = Some(from);
        let mut news = VecDeque::from([line]);
        while let Some(line) = news.pop_front() {
            let line: Line = line.into();
            let from = from.take(); // the news of others are for all
            let full = |(&id, member): (&u64, &Member)| {
                let skipped = from == Some(id);
                let sent =
                    skipped || member.queue.try_send(line.clone()).is_ok();
                (!sent).then_some(id)
            };
            let slow: Vec<u64> = self.members.iter().filter_map(full).collect();
            for id in slow {
                if let Some(member) = self.members.remove(&id) {
                    news.push_back(format!("* {} left: {SLOW}\n", member.name));
                    member.end(SLOW);
                }
            }
        }
    }
}

impl Member {
    /// Drops the queue: its writer sends what is in there, and ends.
    fn end(self, why: &str) {
        let by = Instant::now() + GRACE;
        let why = why.to_string();
        let _ = self.ending.set(Ending { why, by });
    }
}

// ANCHOR: lines
struct Lines<'a> {
    stream: ReadHalf<'a>,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(stream: ReadHalf<'a>) -> Self {
        let buffer = Vec::new();
        Lines { stream, buffer }
    }

    /// The next line, clean, or why there is none. Dropped early, it has lost
    /// nothing: what has arrived is in the buffer.
    async fn next(&mut self) -> Result<String, String> {
        loop {
            let end = self.buffer.iter().position(|&byte| byte == b'\n');
            if end.unwrap_or(self.buffer.len()) > LONGEST {
                return Err(format!("a line of more than {LONGEST} bytes"));
            }
            if let Some(end) = end {
                let line = clean(&self.buffer[..end]);
                self.buffer.drain(..=end);
                return Ok(line);
            }
            let mut piece = [0; 1024];
            match self.stream.read(&mut piece).await {
                Ok(0) => return Err("hung up".to_string()),
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
                Err(_) => return Err(LOST.to_string()),
            }
        }
    }
}
// ANCHOR_END: lines

/// Text that is safe on a terminal: whatever is no character, or no visible
/// one, becomes a �.
fn clean(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let hidden = |c: char| {
        c.is_control() // such as ESC, with which commands begin
            || matches!(c, '\u{2028}' | '\u{2029}') // end a line
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    String::from_utf8_lossy(line)
        .chars()
        .map(|c| if hidden(c) { '�' } else { c })
        .collect()
}

/// From when on the next line is due, were there no rest before.
struct Pace(Instant);

impl Pace {
    /// How long the next line has to wait.
    fn wait(&mut self) -> Duration {
        let now = Instant::now();
        self.0 = self.0.max(now) + EACH;
        self.0.saturating_duration_since(now + EACH * BURST)
    }
}

struct House {
    room: Mutex<Room>,
    stop: CancellationToken,
    patience: Duration,
}

impl House {
    fn new(places: usize, patience: Duration) -> House {
        House {
            room: Mutex::new(Room {
                open: true,
                places,
                served: 0,
                members: BTreeMap::new(),
            }),
            stop: CancellationToken::new(),
            patience,
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
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
