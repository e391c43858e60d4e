use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream,
};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, SockRef, Socket, Type};

/// How long the connections may take to end after a signal, if nobody says.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait after an error that may last, unless somebody leaves.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of the stack a thread may use: the buffer, and room for calls.
const STACK: usize = 64 * 1024;
const BUFFER: usize = 16 * 1024;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7132".to_string());
    let workers = args.next().unwrap_or_else(|| "64".to_string());
    let idle = args.next().unwrap_or_else(|| "60000".to_string());
    let grace = args.next();
    match run(&addr, &workers, &idle, grace.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pool-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    addr: &str,
    workers: &str,
    idle: &str,
    grace: Option<&str>,
) -> Result<()> {
    let workers: NonZeroU32 = workers
        .parse()
        .with_context(|| format!("{workers} as a number of workers"))?;
    let grace = grace.map_or(Ok(GRACE), milliseconds)?;
    let server = Arc::new(Server {
        idle: milliseconds(idle)?,
        stopping: AtomicBool::new(false),
        state: Mutex::default(),
        left: Condvar::new(),
    });

    let (signal, signalled) = mpsc::channel();
    ctrlc::set_handler(move || {
        let _ = signal.send(());
    })
    .context("handle signals")?;
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    let waker = Waker::new(listener.local_addr()?).context("make a waker")?;
    println!("listening on {}", listener.local_addr()?);

    // Every worker holds a clone of `alive`. When the last one is dropped,
    // `all_gone` says that it is disconnected.
    let (alive, all_gone) = mpsc::channel();
    // ANCHOR: pool
    let (queue, waiting) = mpsc::sync_channel(workers.get() as usize);
    let waiting = Arc::new(Mutex::new(waiting));
    for number in 0..workers.get() {
        let server = Arc::clone(&server);
        let waiting = Arc::clone(&waiting);
        let alive = alive.clone();
        thread::Builder::new()
            .name(format!("worker {number}"))
            .stack_size(STACK)
            .spawn(move || work(&server, &waiting, alive))
            .with_context(|| format!("start worker {number}"))?;
    }
    let accepting = Arc::clone(&server);
    let wake_up = waker.addr;
    thread::Builder::new()
        .name("accept".to_string())
        .spawn(move || accept_all(listener, wake_up, &accepting, queue))
        .context("start the thread that accepts")?;
    // ANCHOR_END: pool
    drop(alive);

    signalled.recv().context("wait for a signal")?;
    server.stop();
    if let Err(error) = waker.wake() {
        log(format_args!("wake the thread that accepts: {error}"));
    }
    if all_gone.recv_timeout(grace) == Err(RecvTimeoutError::Timeout) {
        let open = lock(&server.state).open.len();
        log(format_args!("{open} connections did not end in {grace:?}"));
    }
    let served = lock(&server.state).served;
    log(format_args!("served {served} connections"));
    Ok(())
}

fn milliseconds(text: &str) -> Result<Duration> {
    let milliseconds: NonZeroU32 = text
        .parse()
        .with_context(|| format!("{text} as a number of milliseconds"))?;
    Ok(Duration::from_millis(milliseconds.get().into()))
}

struct Server {
    idle: Duration,
    stopping: AtomicBool,
    state: Mutex<State>,
    /// Somebody has left `state.open`, and there may be a descriptor.
    left: Condvar,
}

#[derive(Default)]
struct State {
    /// Who is being served, by a number that nobody else has.
    open: BTreeMap<u64, Arc<Connection>>,
    served: u64,
}

struct Connection {
    stream: TcpStream,
    /// Whether our end of stream was sent. Locked while an answer is made.
    ended: Mutex<bool>,
}

type Client = (TcpStream, SocketAddr);

// ANCHOR: work
fn accept_all(
    listener: TcpListener,
    wake_up: SocketAddr,
    server: &Server,
    queue: SyncSender<Client>,
) {
    let mut complaint: Option<Instant> = None;
    loop {
        match listener.accept() {
            Ok((_, peer)) if peer == wake_up => return,
            Ok((stream, peer)) => {
                log(format_args!("{peer}: connected"));
                // Waits while the queue is full. Nobody accepts then, and the
                // next clients stay in the kernel's queue.
                if queue.send((stream, peer)).is_err() {
                    return;
                }
            }
            // This client left before we came to it.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) if server.is_stopping() => return,
            Err(error) => {
                // No descriptor or no memory: this may last. A line every ten
                // seconds is enough, and so are ten attempts a second.
                if complaint.is_none_or(|at| at.elapsed().as_secs() >= 10) {
                    log(format_args!("accept: {error}"));
                    complaint = Some(Instant::now());
                }
                server.wait_for_leaver(PAUSE);
            }
        }
    }
}

fn work(
    server: &Arc<Server>,
    waiting: &Mutex<Receiver<Client>>,
    _alive: Sender<()>,
) {
    loop {
        // A statement of its own, so that the lock is given back at its end.
        // In a `while let` it would be held while the client is served.
        let next = lock(waiting).recv();
        // Nobody accepts any more, and nobody waits.
        let Ok((stream, peer)) = next else { return };
        serve(&Place::take(server, stream), peer);
    }
}
// ANCHOR_END: work

/// A place among the open connections. It is given back when its client has
/// been served, however that ends.
struct Place {
    server: Arc<Server>,
    number: u64,
    connection: Arc<Connection>,
}

impl Place {
    fn take(server: &Arc<Server>, stream: TcpStream) -> Place {
        let connection = Arc::new(Connection {
            stream,
            ended: Mutex::new(false),
        });
        let mut state = lock(&server.state);
        let number = state.served;
        state.served += 1;
        state.open.insert(number, Arc::clone(&connection));
        Place {
            server: Arc::clone(server),
            number,
            connection,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.server.state).open.remove(&self.number);
        self.server.left.notify_one();
    }
}

impl Server {
    fn wait_for_leaver(&self, at_most: Duration) {
        let state = lock(&self.state);
        // Woken early or for nothing: then the caller tries once more.
        let _ = self.left.wait_timeout(state, at_most);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Every thread sees `stopping` before it waits again. Those that wait
    /// already have nothing to answer; their clients are told from here.
    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for connection in lock(&self.state).open.values() {
            connection.end_if_idle();
        }
    }
}

impl Connection {
    fn end_if_idle(&self) {
        // Locked: its thread is at work, and looks at `stopping` after that.
        let Ok(mut ended) = self.ended.try_lock() else {
            return;
        };
        if let Ok(false) = self.has_input() {
            *ended = self.stream.shutdown(Shutdown::Write).is_ok();
        }
    }

    /// Whether bytes wait in the receive buffer. Only for who holds `ended`.
    fn has_input(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(n) => Ok(n > 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn serve(place: &Place, peer: SocketAddr) {
    let idle = place.server.idle;
    match echo(&place.connection, &place.server) {
        Ok(count) => log(format_args!("{peer}: closed after {count} bytes")),
        // The first is what Unix says, the second what Windows says.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            ) =>
        {
            log(format_args!("{peer}: no progress for {idle:?}"))
        }
        Err(error) => log(format_args!("{peer}: {error}")),
    }
}

/// Sends back what arrives until the peer closes its side, or until the server
/// stops; returns how many bytes that was.
fn echo(connection: &Connection, server: &Server) -> io::Result<u64> {
    let mut stream = &connection.stream;
    // A long answer takes several writes, and none of them shall wait for an
    // acknowledgment of the one before.
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(server.idle))?;
    stream.set_write_timeout(Some(server.idle))?;
    let mut buffer = [0; BUFFER];
    let mut count = 0;
    while !server.is_stopping() {
        // Waits and takes nothing, so that what has arrived and was not
        // answered is in the kernel, where `has_input` finds it.
        match stream.peek(&mut [0]) {
            Ok(0) => return Ok(count),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // `has_input` was at work.
            Err(_) if server.is_stopping() => continue,
            Err(error) => return Err(error),
        }
        let ended = lock(&connection.ended);
        if *ended {
            break;
        }
        let n = stream.read(&mut buffer)?;
        stream.write_all(&buffer[..n])?;
        count += n as u64;
    }
    count += finish(connection, &mut buffer)?;
    Ok(count)
}

/// Answers what has arrived, says that there is no more, and then reads until
/// the peer has closed: a close with unread bytes would be a reset.
fn finish(connection: &Connection, buffer: &mut [u8]) -> io::Result<u64> {
    let mut stream = &connection.stream;
    let mut count = 0;
    let mut ended = lock(&connection.ended);
    if !*ended {
        // What had arrived is in the receive buffer, so it is no more than
        // fits there, even if the peer goes on and on.
        let most = SockRef::from(stream).recv_buffer_size()? as u64;
        while count < most && connection.has_input()? {
            let n = stream.read(buffer)?;
            stream.write_all(&buffer[..n])?;
            count += n as u64;
        }
        stream.shutdown(Shutdown::Write)?;
        *ended = true;
    }
    drop(ended);
    loop {
        match stream.read(buffer) {
            Ok(0) => return Ok(count),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A connection to ourselves, which ends an `accept` that waits. It is made
/// ready beforehand, because there may be no descriptor left when it is needed.
struct Waker {
    socket: Socket,
    /// From where it will come.
    addr: SocketAddr,
    to: SocketAddr,
}

impl Waker {
    fn new(mut to: SocketAddr) -> io::Result<Waker> {
        // Nobody can connect to "all addresses", but to this host.
        match to.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => {
                to.set_ip(Ipv4Addr::LOCALHOST.into())
            }
            IpAddr::V6(ip) if ip.is_unspecified() => {
                to.set_ip(Ipv6Addr::LOCALHOST.into())
            }
            _ => {}
        }
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        let mut from = to;
        from.set_port(0);
        socket.bind(&from.into())?;
        let addr = socket.local_addr()?.as_socket().unwrap_or(from);
        Ok(Waker { socket, addr, to })
    }

    fn wake(&self) -> io::Result<()> {
        self.socket.connect_timeout(&self.to.into(), GRACE)
    }
}

/// A thread that panicked must not take the others along.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
