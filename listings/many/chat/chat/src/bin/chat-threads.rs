use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream,
};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chat::{
    Ending, GRACE, HUNG_UP, Joined, KERNEL, LATE, LOBBY, LOST, Line, Lines,
    Pace, QUEUE, Room, SLOW, milliseconds,
};
use socket2::{SockRef, TcpKeepalive};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or(default.to_string());
    let addr = next("127.0.0.1:7140");
    let [members, patience] = [next("100"), next("10000")];
    let grace = args.next();
    match run(&addr, &members, &patience, grace.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-threads: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(
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
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    let house = Arc::new(House::new(members, patience, grace));
    house.stop_on_signal(listener.local_addr()?)?;
    println!("listening on {}", listener.local_addr()?);
    accept(&house, &listener);
    drop(listener);
    house.hall().close();
    house.wait_until_empty();
    log(format_args!("served {} members", house.hall().room.served));
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
        if !house.hall().room.open {
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
    house.hall().enter(stream);
    let mut lines = Lines::default();
    let by = Instant::now() + house.patience;
    let name = read_line(stream, &mut lines, Some(by));
    let (sender, queue) = sync_channel(QUEUE);
    let joined = house.hall().join(stream, name, sender);
    let (id, name, ending) = match joined {
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
            Ok(_) => read_lines(house, id, stream, &mut lines),
            Err(error) => format!("no thread: {error}"),
        };
        house.hall().room.leave(id, &why);
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
    // also while a line for it is under way. Keepalive counts in seconds.
    let interval = patience.max(Duration::from_secs(1));
    let asking = TcpKeepalive::new().with_time(interval);
    let asking = asking.with_interval(interval).with_retries(2);
    socket.set_tcp_keepalive(&asking)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(3 * patience))?;
    Ok(())
}
// ANCHOR_END: prepare

// ANCHOR: halves
/// Says in the room what the member says, until one of both ends it; returns
/// why.
fn read_lines(
    house: &House,
    id: u64,
    stream: &TcpStream,
    lines: &mut Lines,
) -> String {
    let mut pace = Pace::start();
    loop {
        let line = match read_line(stream, lines, None) {
            Ok(line) => line,
            Err(why) => return why,
        };
        // Whoever floods is read more slowly, and waits in its own writes.
        thread::sleep(pace.wait());
        if !house.hall().room.say(id, &line) {
            return SLOW.to_string(); // or so: the room knows it better
        }
    }
}

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
        house.hall().room.leave(id, why);
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

// ANCHOR_END: halves

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

/// The next line, or why there is none.
fn read_line(
    mut stream: &TcpStream,
    lines: &mut Lines,
    by: Option<Instant>,
) -> Result<String, String> {
    let mut piece = [0; 1024];
    loop {
        if let Some(line) = lines.next_line() {
            return line;
        }
        let left = by.map(|by| by.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(LATE.to_string());
        }
        let n = stream
            .set_read_timeout(left)
            .and_then(|()| stream.read(&mut piece));
        match n {
            Ok(0) => return Err(HUNG_UP.to_string()),
            Ok(n) => lines.push(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The deadline knows. Without one, it is keepalive that says
            // `TimedOut`: the peer is dead.
            Err(error) if by.is_some() && timed_out(&error) => {}
            Err(_) => return Err(LOST.to_string()),
        }
    }
}

/// Unix says the first, Windows the second.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The room, whoever stands before it, and how many connections there are.
struct Hall {
    room: Room<SyncSender<Line>>,
    lobby: Vec<Arc<TcpStream>>,
    connections: usize,
}

impl Hall {
    fn enter(&mut self, stream: &Arc<TcpStream>) {
        if self.room.open {
            self.lobby.push(stream.clone());
        } else {
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    fn join(
        &mut self,
        stream: &Arc<TcpStream>,
        name: Result<String, String>,
        queue: SyncSender<Line>,
    ) -> Result<Joined, String> {
        self.lobby.retain(|other| !Arc::ptr_eq(other, stream));
        self.room.join(name, queue)
    }

    fn close(&mut self) {
        self.room.close();
        // Wakes those who have not said their name yet.
        for stream in self.lobby.drain(..) {
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

/// The hall, and a bell that rings when a connection ends.
struct House {
    hall: Mutex<Hall>,
    changed: Condvar,
    patience: Duration,
}

impl House {
    fn new(places: usize, patience: Duration, grace: Duration) -> House {
        House {
            hall: Mutex::new(Hall {
                room: Room::new(places, grace),
                lobby: Vec::new(),
                connections: 0,
            }),
            changed: Condvar::new(),
            patience,
        }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
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
            house.hall().room.open = false;
            house.changed.notify_all();
            let _ = TcpStream::connect_timeout(&addr, GRACE);
        })
        .context("ask for signals")
    }

    // ANCHOR_END: signal

    fn wait_until_empty(&self) {
        let busy = |hall: &mut Hall| hall.connections > 0;
        let hall = self.hall();
        let grace = hall.room.grace;
        let waited = self.changed.wait_timeout_while(hall, grace, busy);
        let (hall, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if hall.connections > 0 {
            log(format_args!("{} connections are cut off", hall.connections));
        }
    }
}

/// One of the connections that there may be.
struct Place(Arc<House>);

impl Place {
    /// Waits for a free place. After the signal there is none any more.
    fn take(house: &Arc<House>) -> Option<Place> {
        let full = |hall: &mut Hall| {
            hall.room.open && hall.connections >= hall.room.places + LOBBY
        };
        let waited = house.changed.wait_while(house.hall(), full);
        let mut hall = waited.unwrap_or_else(PoisonError::into_inner);
        if !hall.room.open {
            return None;
        }
        hall.connections += 1;
        Some(Place(house.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.hall().connections -= 1;
        self.0.changed.notify_all();
    }
}

/// Writes a line to the log. `eprintln!` would end the thread with a panic
/// when the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
