use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How many clients are served at once, unless the second argument says
/// otherwise.
const CONNECTIONS: usize = 16_000;

/// How long a client may make no progress, unless the third argument says
/// otherwise.
const IDLE: Duration = Duration::from_secs(60);

/// How many finished connections the kernel may keep for us.
const BACKLOG: i32 = 4096;

// ANCHOR: limits
/// How many bytes are read at once, and so how many can wait for one client.
const BUFFER: usize = 64 * 1024;

/// How often one client, or the listener, has its turn before all the others.
const ROUNDS: usize = 4;
const ACCEPTS: usize = 64;

/// How long to wait when `accept` fails for want of something.
const PAUSE: Duration = Duration::from_millis(100);

/// How long clients have to take their last bytes when the server is stopped,
/// unless the fourth argument says otherwise.
const GRACE: Duration = Duration::from_secs(5);

/// Two tokens that are no connection's.
const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
// ANCHOR_END: limits

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("event-loop-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(args: &[String]) -> Result<()> {
    let addr = args.first().map_or("127.0.0.1:7133", String::as_str);
    let limit = match args.get(1) {
        Some(limit) => limit
            .parse::<NonZeroUsize>()
            .with_context(|| format!("{limit} as a number of connections"))?
            .get(),
        None => CONNECTIONS,
    };
    let idle = args.get(2).map_or(Ok(IDLE), |idle| milliseconds(idle))?;
    let grace = args.get(3).map_or(Ok(GRACE), |grace| milliseconds(grace))?;
    // ANCHOR_END: run

    // ANCHOR: waker
    let mut listener = listen(addr).with_context(|| format!("bind {addr}"))?;
    let poll = Poll::new().context("ask for a selector")?;
    let registry = poll.registry();
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    // The handler runs on a thread of its own. All it does is end our wait.
    let waker = Waker::new(registry, STOP)?;
    ctrlc::set_handler(move || {
        let _ = waker.wake();
    })
    .context("wait for signals")?;
    println!("listening on {}", listener.local_addr()?);

    let served = Server::new(poll, listener, limit, idle, grace).serve()?;
    log(format_args!("served {served} connections"));
    Ok(())
}
// ANCHOR_END: waker

fn milliseconds(text: &str) -> Result<Duration> {
    let milliseconds: NonZeroU32 = text
        .parse()
        .with_context(|| format!("{text} as a number of milliseconds"))?;
    Ok(Duration::from_millis(milliseconds.get().into()))
}

/// The first of the addresses that can be had.
fn listen(addr: &str) -> io::Result<TcpListener> {
    let mut failure = ErrorKind::AddrNotAvailable.into();
    for addr in addr.to_socket_addrs()? {
        match listen_at(addr) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

// ANCHOR: listen
fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}
// ANCHOR_END: listen

// ANCHOR: server
struct Server {
    poll: Poll,
    /// Gone once the server is being stopped.
    listener: Option<TcpListener>,
    limit: usize,
    idle: Duration,
    grace: Duration,
    /// One for all: nobody keeps anything in it between two calls.
    buffer: Vec<u8>,

    /// The token of a connection is its index here.
    connections: Vec<Option<Connection>>,
    /// The indices that hold none.
    free: Vec<usize>,
    open: usize,
    served: u64,

    /// When `poll` last returned.
    now: Instant,
    /// Somebody may be waiting to be accepted.
    knocked: bool,
    /// When to try again after `accept` has failed.
    paused: Option<Instant>,
    complained: bool,
    /// When to look for idle clients again.
    sweep: Option<Instant>,
    /// When the last client has to go.
    end: Option<Instant>,
}
// ANCHOR_END: server

// ANCHOR: connection
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    /// What was read and not taken by the kernel yet. It has no memory as long
    /// as the client reads.
    output: Vec<u8>,
    /// What the selector was last asked for.
    interest: Interest,
    phase: Phase,
    progress: Instant,
    count: u64,
}

#[derive(Clone, Copy)]
enum Phase {
    Echo,
    /// The server is being stopped. What had arrived by then is not more than
    /// this.
    Finish(usize),
    /// We have said that no more will come, and wait for the client to close.
    Leave,
}

/// What has to happen before a connection can go on.
enum Next {
    Readable,
    Writable,
    /// Nothing, but it is the others' turn.
    Turn,
    Closed,
}
// ANCHOR_END: connection

impl Server {
    fn new(
        poll: Poll,
        listener: TcpListener,
        limit: usize,
        idle: Duration,
        grace: Duration,
    ) -> Server {
        Server {
            poll,
            listener: Some(listener),
            limit,
            idle,
            grace,
            buffer: vec![0; BUFFER],
            connections: Vec::new(),
            free: Vec::new(),
            open: 0,
            served: 0,
            now: Instant::now(),
            knocked: false,
            paused: None,
            complained: false,
            sweep: None,
            end: None,
        }
    }

    // ANCHOR: serve
    /// Serves until it is stopped; returns how many clients there were.
    fn serve(mut self) -> Result<u64> {
        let mut events = Events::with_capacity(1024);
        while self.end.is_none() || self.open > 0 {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(error).context("wait for events");
                }
                _ => self.now = Instant::now(),
            }

            let mut stop = false;
            for event in &events {
                match event.token() {
                    LISTENER => self.knocked = true,
                    STOP => stop = true,
                    Token(index) => {
                        let drain = self.end.is_some() || must_drain(event);
                        self.go_on(index, drain);
                    }
                }
            }
            // Only now can an index be used again: no event of this round can
            // be meant for another connection than it reaches.
            self.accept();
            if stop {
                self.stop();
            }
            self.sweep();
        }
        Ok(self.served)
    }
    // ANCHOR_END: serve

    // ANCHOR: timeout
    /// How long there is nothing to do unless an event comes.
    fn timeout(&self) -> Option<Duration> {
        let accept = if self.may_accept() {
            Some(self.paused.unwrap_or(self.now))
        } else {
            None
        };
        [accept, self.sweep, self.end]
            .into_iter()
            .flatten()
            .min()
            .map(|due| due.saturating_duration_since(self.now))
    }

    fn may_accept(&self) -> bool {
        self.listener.is_some() && self.knocked && self.open < self.limit
    }
    // ANCHOR_END: timeout

    // ANCHOR: accept
    fn accept(&mut self) {
        if self.paused.is_some_and(|until| self.now < until) {
            return;
        }
        self.paused = None;
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listener.as_ref() else {
                return;
            };
            if !self.may_accept() {
                return;
            }
            match listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.knocked = false;
                        self.complained = false;
                    }
                    // That client has gone already. There may be another one.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    // This may last: "too many open files", say. The client
                    // stays in the queue, and no event will tell of it again.
                    _ => {
                        self.paused = Some(self.now + PAUSE);
                        if !self.complained {
                            log(format_args!("accept: {error}"));
                            self.complained = true;
                        }
                        return;
                    }
                },
            }
        }
    }
    // ANCHOR_END: accept

    // ANCHOR: admit
    fn admit(&mut self, mut stream: TcpStream, peer: SocketAddr) {
        log(format_args!("{peer}: connected"));
        self.served += 1;
        let index = self.free.pop().unwrap_or(self.connections.len());
        // Pieces of an answer must not wait for each other's acknowledgement.
        let ready = stream.set_nodelay(true).and_then(|()| {
            let registry = self.poll.registry();
            registry.register(&mut stream, Token(index), READ)
        });
        if index == self.connections.len() {
            self.connections.push(None);
        }
        if let Err(error) = ready {
            log(format_args!("{peer}: {error}"));
            self.free.push(index);
            return;
        }
        self.connections[index] = Some(Connection {
            stream,
            peer,
            output: Vec::new(),
            interest: READ,
            phase: Phase::Echo,
            progress: self.now,
            count: 0,
        });
        self.open += 1;
        self.sweep.get_or_insert(self.now + self.idle);
    }
    // ANCHOR_END: admit

    // ANCHOR: go_on
    /// Goes as far with one client as is possible without waiting.
    fn go_on(&mut self, index: usize, drain: bool) {
        // It may have been closed earlier in this round.
        let Some(Some(connection)) = self.connections.get_mut(index) else {
            return;
        };
        let registry = self.poll.registry();
        let open = connection
            .turn(&mut self.buffer, drain, self.now)
            .and_then(|next| connection.wait_for(next, registry, index));
        let end = match open {
            Ok(true) => return,
            Ok(false) => format!("closed after {} bytes", connection.count),
            Err(error) => error.to_string(),
        };
        log(format_args!("{}: {end}", connection.peer));
        self.close(index);
    }

    fn close(&mut self, index: usize) {
        // Dropping the stream closes it, and the selector forgets it.
        self.connections[index] = None;
        self.free.push(index);
        self.open -= 1;
        // Its descriptor may be the one that was missing.
        self.paused = None;
    }
    // ANCHOR_END: go_on

    // ANCHOR: sweep
    /// Closes the connections of those who have done nothing for too long. It
    /// looks at all of them, and therefore seldom.
    fn sweep(&mut self) {
        if let Some(end) = self.end {
            if self.now >= end {
                let grace = self.grace;
                self.close_where(
                    |_| true,
                    &format!("cut off after {grace:?} of grace"),
                );
            }
            return;
        }
        if self.sweep.is_none_or(|due| self.now < due) {
            return;
        }
        let (now, idle) = (self.now, self.idle);
        self.close_where(
            |connection| now - connection.progress >= idle,
            &format!("no progress for {idle:?}"),
        );
        let connections = self.connections.iter().flatten();
        self.sweep = connections
            .map(|connection| connection.progress)
            .min()
            .map(|oldest| (oldest + idle).max(now + idle / 16));
    }

    fn close_where(&mut self, goes: impl Fn(&Connection) -> bool, why: &str) {
        for index in 0..self.connections.len() {
            let Some(connection) = &self.connections[index] else {
                continue;
            };
            if goes(connection) {
                log(format_args!("{}: {why}", connection.peer));
                self.close(index);
            }
        }
    }
    // ANCHOR_END: sweep

    // ANCHOR: stop
    /// Lets nobody in any more, and answers what has arrived until now.
    fn stop(&mut self) {
        if self.end.is_some() {
            return;
        }
        // Those in the queue have been let in by the kernel already.
        self.knocked = true;
        for _ in 0..BACKLOG as usize / ACCEPTS {
            self.accept();
        }
        self.listener = None;
        self.end = Some(self.now + self.grace);
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else {
                continue;
            };
            let most = SockRef::from(&connection.stream).recv_buffer_size();
            connection.phase = Phase::Finish(most.unwrap_or(usize::MAX));
            self.go_on(index, true);
        }
    }
    // ANCHOR_END: stop
}

// ANCHOR: drained
/// What to wait for when there is nothing to write. On Linux that is also
/// urgent data, because it makes a read stop short of what is there.
#[cfg(target_os = "linux")]
const READ: Interest = Interest::READABLE.add(Interest::PRIORITY);
#[cfg(not(target_os = "linux"))]
const READ: Interest = Interest::READABLE;

/// Whether to read until `WouldBlock`. On Linux a read that does not fill the
/// buffer has taken everything, but for an end, an error, or urgent data.
fn must_drain(event: &Event) -> bool {
    !cfg!(target_os = "linux")
        || event.is_read_closed()
        || event.is_error()
        || event.is_priority()
}
// ANCHOR_END: drained

impl Connection {
    // ANCHOR: turn
    /// Goes as far with this client as is possible without waiting. With
    /// `drain`, only `WouldBlock` tells that there is nothing left to read.
    fn turn(
        &mut self,
        buffer: &mut [u8],
        drain: bool,
        now: Instant,
    ) -> io::Result<Next> {
        if self.output.is_empty() {
            return self.echo(buffer, drain, now);
        }
        if self.flush()? > 0 {
            self.progress = now;
        }
        if self.output.is_empty() {
            // We did not look for what has arrived meanwhile.
            self.echo(buffer, true, now)
        } else {
            Ok(Next::Writable)
        }
    }
    // ANCHOR_END: turn

    // ANCHOR: echo
    /// Reads and writes until one of the two would have to wait. It is called
    /// only when nothing waits to be written.
    fn echo(
        &mut self,
        buffer: &mut [u8],
        drain: bool,
        now: Instant,
    ) -> io::Result<Next> {
        for _ in 0..ROUNDS {
            let n = match self.read(buffer) {
                Ok(0) => return Ok(Next::Closed),
                Ok(n) => n,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(Next::Readable),
                    ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                },
            };
            self.progress = now;
            if !matches!(self.phase, Phase::Leave) {
                self.count += n as u64;
                let taken = write(&mut self.stream, &buffer[..n])?;
                if taken < n {
                    self.output = buffer[taken..n].to_vec();
                    return Ok(Next::Writable);
                }
            }
            if n < buffer.len() && !drain {
                return Ok(Next::Readable);
            }
        }
        Ok(Next::Turn)
    }
    // ANCHOR_END: echo

    // ANCHOR: flush
    /// Writes what waits, until the kernel takes no more; returns how many
    /// bytes it took.
    fn flush(&mut self) -> io::Result<usize> {
        let mut done = 0;
        while done < self.output.len() {
            match write(&mut self.stream, &self.output[done..])? {
                0 => break,
                taken => done += taken,
            }
        }
        self.output.drain(..done);
        if self.output.is_empty() {
            self.output = Vec::new(); // gives the memory back
        }
        Ok(done)
    }
    // ANCHOR_END: flush

    // ANCHOR: finish
    /// Reads. When the server is being stopped, and what had arrived by then
    /// has been answered, it says that no more will come.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Phase::Finish(most) = self.phase else {
            return self.stream.read(buffer);
        };
        if most > 0 {
            let room = most.min(buffer.len());
            match self.stream.read(&mut buffer[..room]) {
                Ok(n) => {
                    self.phase = Phase::Finish(most - n);
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.phase = Phase::Leave;
        self.stream.read(buffer)
    }
    // ANCHOR_END: finish

    // ANCHOR: interest
    /// Tells the selector what to look for, if that is not what it was told
    /// before; returns whether the connection is still open.
    fn wait_for(
        &mut self,
        next: Next,
        registry: &Registry,
        index: usize,
    ) -> io::Result<bool> {
        let interest = match next {
            Next::Readable | Next::Turn => READ,
            Next::Writable => Interest::WRITABLE,
            Next::Closed => return Ok(false),
        };
        // To tell it again is how to hear of what is there already.
        if interest != self.interest || matches!(next, Next::Turn) {
            registry.reregister(&mut self.stream, Token(index), interest)?;
            self.interest = interest;
        }
        Ok(true)
    }
    // ANCHOR_END: interest
}

// ANCHOR: write
/// How many of the bytes the kernel takes now. None is no error.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(0),
                ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
            taken => return taken,
        }
    }
}
// ANCHOR_END: write

// ANCHOR: log
/// Writes a line to the log, with one call. `eprintln!` would end the server
/// with a panic when the log can't be written.
fn log(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
// ANCHOR_END: log
