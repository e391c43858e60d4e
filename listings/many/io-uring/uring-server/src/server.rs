//! The echo server: what it asks of the kernel, and what it does when a
//! request has completed.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::SockRef;
use uring_server::ring::{Buffer, Event, Refusal, Ring};

/// How many connections are served at once, unless the second argument says
/// otherwise.
const CONNECTIONS: u32 = 16_000;
/// How long a connection may make no progress, unless the third says otherwise.
const IDLE: u32 = 60_000; // milliseconds
/// How many connections are asked for at once.
const ACCEPTS: usize = 16;
/// With more than this to send, the server stops receiving from a peer...
const MOST: usize = 64 * 1024; // bytes
/// ...and goes on when it is down to this.
const FEW: usize = 16 * 1024; // bytes
/// How long peers have to take their replies once the server was told to stop,
/// unless the fourth argument says otherwise.
const GRACE: Duration = Duration::from_secs(5);
/// How often the ring looks for connections to give up.
const TICK: Duration = Duration::from_secs(1);
/// The exit status where there is no io_uring.
const UNAVAILABLE: u8 = 3;

pub fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7135".to_string());
    let connections = args.next().unwrap_or_else(|| CONNECTIONS.to_string());
    let idle = args.next().unwrap_or_else(|| IDLE.to_string());
    let ring = match Ring::new() {
        Ok(ring) => ring,
        Err(Refusal::Forbidden(error, why)) => {
            log(format_args!("uring-server: no io_uring: {error}: {why}"));
            return ExitCode::from(UNAVAILABLE);
        }
        Err(Refusal::Failed(error)) => {
            log(format_args!("uring-server: io_uring: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let grace = args.next();
    match run(ring, &addr, &connections, &idle, grace.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(format_args!("uring-server: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(
    ring: Ring,
    addr: &str,
    connections: &str,
    idle: &str,
    grace: Option<&str>,
) -> Result<()> {
    let limit: NonZeroU32 = connections
        .parse()
        .with_context(|| format!("{connections} as a number of connections"))?;
    let idle = milliseconds(idle)?;
    let grace = grace.map_or(Ok(GRACE), milliseconds)?;
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    // On Linux the connections inherit it: no echo waits for an ACK.
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    // The ring can wait for a socket; a signal is not one, so it writes to one.
    let (signalled, signal) = UnixStream::pair().context("socketpair")?;
    ctrlc::set_handler(move || {
        let _ = (&signal).write(&[1]);
    })
    .context("set a handler for SIGINT and SIGTERM")?;
    println!("listening on {}", listener.local_addr()?);

    Server {
        ring,
        listener: Some(listener),
        signalled,
        slots: Vec::new(),
        free: Vec::new(),
        limit: limit.get() as usize,
        idle,
        grace,
        accepting: 0,
        refused: false,
        logged: false,
        stopped: None,
        now: Instant::now(),
        served: 0,
    }
    .serve()
    .context("io_uring")
}

fn milliseconds(text: &str) -> Result<Duration> {
    let milliseconds: NonZeroU32 = text
        .parse()
        .with_context(|| format!("{text} as a number of milliseconds"))?;
    Ok(Duration::from_millis(milliseconds.get().into()))
}

struct Server {
    ring: Ring,
    listener: Option<TcpListener>,
    signalled: UnixStream,
    /// A connection's key is its place here.
    slots: Vec<Option<Connection>>,
    free: Vec<u32>,
    limit: usize,
    idle: Duration,
    grace: Duration,
    /// How many requests for a connection are with the kernel.
    accepting: usize,
    /// They fail. None is made until something changes.
    refused: bool,
    /// That they fail has been logged.
    logged: bool,
    stopped: Option<Instant>,
    now: Instant,
    served: u64,
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    phase: Phase,
    /// Requests that are with the kernel.
    receiving: bool,
    cancelled: bool,
    sending: bool,
    /// What came while `sending`, in order.
    waiting: Vec<u8>,
    /// Received, and not yet sent: `waiting`, and what is with the kernel.
    unsent: usize,
    /// The peer has to take its replies first.
    paused: bool,
    /// The server stops, and has all that it has to echo.
    enough: bool,
    /// The peer has sent its last byte.
    ended: bool,
    echoed: u64,
    progress: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Echo,
    /// The server stops: what has already come is echoed, and no more.
    Finish,
    /// All is sent, and our end of stream too. Its peer has to close.
    Drain,
    /// It is over. The requests with the kernel have yet to complete.
    Dead,
}

impl Server {
    // ANCHOR: serve
    fn serve(mut self) -> io::Result<()> {
        self.ring.poll(&self.signalled);
        self.ring.tick();
        self.accept();
        let mut events = Vec::new();
        while self.listener.is_some() || self.live() > 0 {
            self.ring.wait(&mut events)?;
            self.now = Instant::now();
            for event in events.drain(..) {
                self.handle(event);
            }
            self.accept();
        }
        log(format_args!("served {} connections", self.served));
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted(result) => self.accepted(result.map(Into::into)),
            Event::Received { key, result, more } => {
                self.received(key, result, more)
            }
            Event::Sent {
                key,
                result,
                buffer,
            } => self.sent(key, result, buffer),
            Event::Readable => self.stop(),
            Event::Tick => self.sweep(),
        }
    }
    // ANCHOR_END: serve

    fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    // ANCHOR: accept
    /// Asks for as many connections as there is room for.
    fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        if self.stopped.is_some() {
            if self.accepting == 0 {
                self.listener = None;
            }
            return;
        }
        let room = self.limit.saturating_sub(self.live());
        while !self.refused && self.accepting < room.min(ACCEPTS) {
            self.ring.accept(listener);
            self.accepting += 1;
        }
    }

    fn accepted(&mut self, result: io::Result<TcpStream>) {
        self.accepting -= 1;
        let (stream, peer) = match result.and_then(|stream| {
            let peer = stream.peer_addr()?;
            Ok((stream, peer))
        }) {
            Ok(accepted) => accepted,
            Err(error) => return self.not_accepted(&error),
        };
        log(format_args!("{peer}: connected"));
        self.served += 1;
        self.logged = false;
        let stopped = self.stopped.is_some();
        let connection = Connection {
            stream,
            peer,
            phase: if stopped { Phase::Finish } else { Phase::Echo },
            receiving: false,
            cancelled: false,
            sending: false,
            waiting: Vec::new(),
            unsent: 0,
            paused: false,
            enough: false,
            ended: false,
            echoed: 0,
            progress: self.now,
        };
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[key as usize] = Some(connection);
        self.next(key);
    }

    /// A peer that has left is no reason to wait. With anything else, such as
    /// no descriptor left, the next try would fail as well: it has to wait
    /// until a connection is closed, or for the next tick.
    fn not_accepted(&mut self, error: &io::Error) {
        let gone = matches!(
            error.raw_os_error(),
            Some(libc::ECANCELED | libc::ECONNABORTED | libc::ENOTCONN)
        );
        if gone {
            return;
        }
        self.refused = true;
        if !self.logged {
            log(format_args!("accept: {error}"));
            self.logged = true;
        }
    }
    // ANCHOR_END: accept

    // ANCHOR: received
    fn received(&mut self, key: u32, result: io::Result<Buffer>, more: bool) {
        let Some(connection) = &mut self.slots[key as usize] else {
            return;
        };
        if !more {
            connection.receiving = false;
            connection.cancelled = false;
        }
        match result {
            Ok(buffer) if buffer.is_empty() => connection.ended = true,
            Ok(buffer)
                if matches!(connection.phase, Phase::Drain | Phase::Dead) =>
            {
                self.ring.recycle(buffer)
            }
            Ok(buffer) => {
                connection.progress = self.now;
                connection.unsent += buffer.len();
                if connection.sending {
                    connection.waiting.extend_from_slice(&buffer);
                    self.ring.recycle(buffer);
                } else {
                    self.ring.send(&connection.stream, key, buffer);
                    connection.sending = true;
                }
            }
            Err(error) => match error.raw_os_error() {
                // Ours to end, or the pool was empty: `next` asks again.
                Some(libc::ECANCELED | libc::ENOBUFS) => {}
                // Only `receive_now` says so: all that had come is here.
                Some(libc::EAGAIN) => connection.enough = true,
                _ => self.end(key, &error),
            },
        }
        self.next(key);
    }
    // ANCHOR_END: received

    fn sent(
        &mut self,
        key: u32,
        result: io::Result<usize>,
        mut buffer: Buffer,
    ) {
        let Some(connection) = &mut self.slots[key as usize] else {
            return;
        };
        connection.sending = false;
        match result {
            Ok(count) => {
                connection.progress = self.now;
                connection.unsent -= count;
                connection.echoed += count as u64;
                buffer.advance(count);
                if buffer.is_empty() {
                    self.ring.recycle(buffer);
                    buffer = mem::take(&mut connection.waiting).into();
                }
                if !buffer.is_empty() && connection.phase != Phase::Dead {
                    self.ring.send(&connection.stream, key, buffer);
                    connection.sending = true;
                }
            }
            Err(error) => {
                self.ring.recycle(buffer);
                self.end(key, &error);
            }
        }
        self.next(key);
    }

    // ANCHOR: next
    /// Makes the requests that the state of a connection asks for.
    fn next(&mut self, key: u32) {
        let Some(connection) = &mut self.slots[key as usize] else {
            return;
        };
        let Connection { stream, unsent, .. } = connection;
        let idle = !connection.receiving && !connection.sending;
        let over = connection.ended && *unsent == 0;
        if over || connection.phase == Phase::Dead {
            if idle {
                self.close(key);
            }
            return;
        }
        if *unsent > MOST {
            connection.paused = true;
        } else if *unsent <= FEW {
            connection.paused = false;
        }
        let finish = connection.phase == Phase::Finish;
        if finish && connection.enough && *unsent == 0 {
            // Our end of stream. Closing here could reset the connection.
            if let Err(error) = stream.shutdown(Shutdown::Write) {
                self.end(key, &error);
                return self.next(key);
            }
            connection.phase = Phase::Drain;
        }
        let wanted = !connection.ended
            && !connection.paused
            && (connection.phase != Phase::Finish || !connection.enough);
        if wanted && !connection.receiving {
            match connection.phase {
                Phase::Finish => self.ring.receive_now(stream, key),
                _ => self.ring.receive(stream, key),
            }
            connection.receiving = true;
        }
        if !wanted && connection.receiving && !connection.cancelled {
            self.ring.cancel_receive(key);
            connection.cancelled = true;
        }
    }
    // ANCHOR_END: next

    /// Gives a connection up. It is closed when all its requests are back.
    fn end(&mut self, key: u32, why: &dyn Display) {
        let Some(connection) = &mut self.slots[key as usize] else {
            return;
        };
        if connection.phase == Phase::Dead {
            return;
        }
        log(format_args!("{}: {why}", connection.peer));
        connection.phase = Phase::Dead;
        connection.waiting = Vec::new();
        if connection.receiving || connection.sending {
            self.ring.cancel_all(&connection.stream);
        }
    }

    fn close(&mut self, key: u32) {
        let Some(connection) = self.slots[key as usize].take() else {
            return;
        };
        let Connection { peer, echoed, .. } = connection;
        log(format_args!("{peer}: closed after {echoed} bytes"));
        self.ring.close(connection.stream.into());
        self.free.push(key);
        self.refused = false;
    }

    /// Each second: ends what has made no progress, and what outlasts the
    /// grace.
    fn sweep(&mut self) {
        self.ring.tick();
        self.refused = false;
        let stopping = self.stopped.map(|since| self.now - since);
        for key in 0..self.slots.len() as u32 {
            let Some(connection) = &mut self.slots[key as usize] else {
                continue;
            };
            let silent = self.now.duration_since(connection.progress);
            match stopping {
                // The next tick would be too late.
                Some(time) if time + TICK > self.grace => {
                    self.end(key, &"did not close in time")
                }
                // A peer that sends and sends: that was enough.
                Some(time) if time > self.grace / 2 => connection.enough = true,
                _ if silent < self.idle => continue,
                _ => {
                    let idle = self.idle;
                    self.end(key, &format_args!("no progress for {idle:?}"))
                }
            }
            self.next(key);
        }
    }

    // ANCHOR: stop
    /// SIGINT or SIGTERM: no new connection, and of the old ones what has
    /// come so far.
    fn stop(&mut self) {
        self.stopped = Some(self.now);
        if let Some(listener) = &self.listener {
            self.ring.cancel_all(listener);
        }
        for key in 0..self.slots.len() as u32 {
            let Some(connection) = &mut self.slots[key as usize] else {
                continue;
            };
            if connection.phase != Phase::Echo {
                continue;
            }
            connection.phase = Phase::Finish;
            if connection.receiving && !connection.cancelled {
                self.ring.cancel_receive(key);
                connection.cancelled = true;
            }
            self.next(key);
        }
    }
    // ANCHOR_END: stop
}

/// Writes a line to the log, with one system call. `eprintln!` would end the
/// server with a panic when the log can't be written: the disk is full, or
/// nobody reads the pipe.
fn log(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
