use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream,
};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{SockRef, TcpKeepalive};

// ANCHOR: limits
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
// ANCHOR_END: limits

const SLOW: &str = "reads too slowly";
const LOST: &str = "connection lost";
const ENDS: &str = "the server ends";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or(default.to_string());
    let addr = next("127.0.0.1:7140");
    let [members, patience] = [next("100"), next("10")];
    match run(&addr, &members, &patience) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-threads: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, members: &str, patience: &str) -> Result<()> {
    let members: NonZeroU32 = members
        .parse()
        .with_context(|| format!("{members} as a number of members"))?;
    let members = members.get() as usize;
    let patience: NonZeroU32 = patience
        .parse()
        .with_context(|| format!("{patience} as a number of seconds"))?;
    let patience = Duration::from_secs(patience.get().into());
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    let house = Arc::new(House::new(members, patience));
    house.stop_on_signal(listener.local_addr()?)?;
    println!("listening on {}", listener.local_addr()?);
    accept(&house, &listener);
    drop(listener);
    house.room().close();
    house.wait_until_empty();
    log(format_args!("served {} members", house.room().served));
    Ok(())
}

/// Starts a thread for each connection, until there is a signal.
fn accept(house: &Arc<House>, listener: &TcpListener) {
    let mut failing = false;
    // First a place, then a connection: others wait in the backlog.
    while let Some(place) = Place::take(house) {
        let (stream, peer) = match listener.accept() {
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
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        failing = false;
        if !house.room().open {
            return; // it came to wake us
        }
        let started = thread::Builder::new()
            .spawn(move || serve(&place.0, &Arc::new(stream), peer));
        if let Err(error) = started {
            log(format_args!("{peer}: no thread: {error}"));
        }
    }
}

// ANCHOR: serve
/// The reader's thread: one connection from its first line to its end.
fn serve(house: &House, stream: &Arc<TcpStream>, peer: SocketAddr) {
    if let Err(error) = prepare(stream, house.patience) {
        return log(format_args!("{peer}: {error}"));
    }
    let id = house.room().enter(stream);
    let mut lines = Lines::new(stream);
    let name = lines.next(Some(Instant::now() + house.patience));
    let joined = house.room().join(id, name);
    let (name, queue, ending) = match joined {
        Ok(joined) => joined,
        Err(why) => {
            log(format_args!("{peer}: refused: {why}"));
            say_goodbye(stream, &why);
            return drain(stream, house.patience);
        }
    };
    log(format_args!("{peer}: {name} joined"));
    let (gone, has_gone) = mpsc::channel();
    thread::scope(|scope| {
        let ending = &ending;
        let writer = thread::Builder::new().spawn_scoped(scope, move || {
            write_lines(house, id, stream, queue, ending, has_gone)
        });
        let why = match writer {
            Ok(_) => read_lines(house, id, &mut lines),
            Err(error) => format!("no thread: {error}"),
        };
        house.room().leave(id, &why);
        drain(stream, house.patience);
        drop(gone); // the writer waits for that
    });
    let why = ending.get().map_or("", |ending| &ending.why);
    log(format_args!("{peer}: {name} left: {why}"));
}
// ANCHOR_END: serve

// ANCHOR: prepare
fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // Each write is a whole line: there is nothing to wait for.
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(patience))?;
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
// ANCHOR_END: prepare

// ANCHOR: read
/// Says in the room what the member says, until one of both ends it; returns
/// why.
fn read_lines(house: &House, id: u64, lines: &mut Lines) -> String {
    let mut pace = Pace(Instant::now());
    loop {
        let line = match lines.next(None) {
            Ok(line) => line,
            Err(why) => return why,
        };
        // Whoever floods is read more slowly, and waits in its own writes.
        thread::sleep(pace.wait());
        if !house.room().say(id, &line) {
            return SLOW.to_string(); // or so: the room knows it better
        }
    }
}
// ANCHOR_END: read

// ANCHOR: write
/// The writer's thread: sends what waits in the queue, until the room has
/// dropped the other end of it.
fn write_lines(
    house: &House,
    id: u64,
    mut stream: &TcpStream,
    queue: Receiver<Line>,
    ending: &OnceLock<Ending>,
    has_gone: Receiver<()>,
) {
    for line in &queue {
        let late = ending.get().is_some_and(|end| end.by < Instant::now());
        let why = match stream.write_all(line.as_bytes()) {
            Ok(()) if !late => continue,
            Err(error) if !timed_out(&error) => LOST,
            _ => SLOW,
        };
        // Nothing can follow half a line. This wakes the reader too.
        house.room().leave(id, why);
        let _ = stream.shutdown(Shutdown::Both);
        return;
    }
    if let Some(ending) = ending.get() {
        say_goodbye(stream, &ending.why);
    }
    // The peer closes now, and the reader sees it. If not, it is woken.
    let _ = has_gone.recv_timeout(house.patience);
    let _ = stream.shutdown(Shutdown::Both);
}
// ANCHOR_END: write

fn say_goodbye(mut stream: &TcpStream, why: &str) {
    let _ = stream.write_all(format!("* goodbye: {why}\n").as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// Reads until the peer has closed: a close with unread bytes would be a
/// reset, and could destroy the goodbye.
fn drain(mut stream: &TcpStream, patience: Duration) {
    let by = Instant::now() + patience;
    let mut buffer = [0; 1024];
    loop {
        let left = by.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

// ANCHOR: members
/// A line is stored once, for however many members it waits.
type Line = Arc<str>;

/// Who is here. Whoever has its lock never waits for a peer.
struct Room {
    open: bool,
    places: usize,
    served: u64,
    connections: usize,
    lobby: BTreeMap<u64, Arc<TcpStream>>,
    members: BTreeMap<u64, Member>,
    next_id: u64,
}

struct Member {
    name: String,
    queue: SyncSender<Line>,
    ending: Arc<OnceLock<Ending>>,
}

/// Why a member has left, and until when the last lines may be sent.
struct Ending {
    why: String,
    by: Instant,
}

// ANCHOR_END: members

type Joined = (String, Receiver<Line>, Arc<OnceLock<Ending>>);

impl Room {
    /// An id for a connection that has no name yet.
    fn enter(&mut self, stream: &Arc<TcpStream>) -> u64 {
        self.next_id += 1;
        self.lobby.insert(self.next_id, stream.clone());
        if !self.open {
            let _ = stream.shutdown(Shutdown::Read);
        }
        self.next_id
    }

    // ANCHOR: join
    fn join(
        &mut self,
        id: u64,
        name: Result<String, String>,
    ) -> Result<Joined, String> {
        self.lobby.remove(&id);
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
        let (queue, lines) = mpsc::sync_channel(QUEUE);
        let here = format!("* here: {}\n", here.join(", "));
        let _ = queue.try_send(here.into()); // it is empty: there is room
        let ending = Arc::new(OnceLock::new());
        let member = Member {
            name: name.clone(),
            queue,
            ending: ending.clone(),
        };
        self.members.insert(id, member);
        self.served += 1;
        self.tell(id, format!("* {name} joined\n"));
        Ok((name, lines, ending))
    }
    // ANCHOR_END: join

    // ANCHOR: say
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

    // ANCHOR_END: say

    // ANCHOR: close
    /// Says goodbye to everybody.
    fn close(&mut self) {
        self.open = false;
        for member in mem::take(&mut self.members).into_values() {
            member.end(ENDS);
        }
        // Wakes those who wait for a name.
        for stream in mem::take(&mut self.lobby).into_values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
    // ANCHOR_END: close

    // ANCHOR: tell
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
// ANCHOR_END: tell

// ANCHOR: lines
struct Lines<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(stream: &'a TcpStream) -> Self {
        let buffer = Vec::new();
        Lines { stream, buffer }
    }

    /// The next line, clean, or why there is none.
    fn next(&mut self, by: Option<Instant>) -> Result<String, String> {
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
            let left =
                by.map(|by| by.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err("no name in time".to_string());
            }
            let mut piece = [0; 1024];
            let n = self
                .stream
                .set_read_timeout(left)
                .and_then(|()| self.stream.read(&mut piece));
            match n {
                Ok(0) => return Err("hung up".to_string()),
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The deadline knows. Without one, it is keepalive that says
                // `TimedOut`: the peer is dead.
                Err(error) if by.is_some() && timed_out(&error) => {}
                Err(_) => return Err(LOST.to_string()),
            }
        }
    }
}

/// Unix says the first, Windows the second.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
// ANCHOR_END: lines

// ANCHOR: clean
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
// ANCHOR_END: clean

// ANCHOR: pace
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
// ANCHOR_END: pace

/// The room, and a bell that rings when a connection ends.
struct House {
    room: Mutex<Room>,
    changed: Condvar,
    patience: Duration,
}

impl House {
    fn new(places: usize, patience: Duration) -> House {
        House {
            room: Mutex::new(Room {
                open: true,
                places,
                served: 0,
                connections: 0,
                lobby: BTreeMap::new(),
                members: BTreeMap::new(),
                next_id: 0,
            }),
            changed: Condvar::new(),
            patience,
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ANCHOR: signal
    /// On Ctrl-C or SIGTERM: no more members. A connection wakes `accept`.
    fn stop_on_signal(self: &Arc<Self>, mut addr: SocketAddr) -> Result<()> {
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        let house = self.clone();
        ctrlc::set_handler(move || {
            house.room().open = false;
            house.changed.notify_all();
            let _ = TcpStream::connect_timeout(&addr, GRACE);
        })
        .context("ask for signals")
    }

    // ANCHOR_END: signal

    fn wait_until_empty(&self) {
        let busy = |room: &mut Room| room.connections > 0;
        let waited = self.changed.wait_timeout_while(self.room(), GRACE, busy);
        let (room, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if room.connections > 0 {
            log(format_args!("{} connections are cut off", room.connections));
        }
    }
}

/// One of the connections that there may be.
struct Place(Arc<House>);

impl Place {
    /// Waits for a free place. After the signal there is none any more.
    fn take(house: &Arc<House>) -> Option<Place> {
        let full = |room: &mut Room| {
            room.open && room.connections >= room.places + LOBBY
        };
        let waited = house.changed.wait_while(house.room(), full);
        let mut room = waited.unwrap_or_else(PoisonError::into_inner);
        if !room.open {
            return None;
        }
        room.connections += 1;
        Some(Place(house.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.room().connections -= 1;
        self.0.changed.notify_all();
    }
}

/// Writes a line to the log. `eprintln!` would end the thread with a panic
/// when the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
