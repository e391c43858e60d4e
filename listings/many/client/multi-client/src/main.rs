use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

/// What is sent on each connection. The stream has no border between the two.
const MESSAGES: [&[u8]; 2] =
    [b"first of two messages.", b"and the second of them"];

/// How long all of it may take, unless the third argument says otherwise.
const PATIENCE: &str = "10000"; // milliseconds

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("multi-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(args: &[String]) -> Result<()> {
    // Several addresses, with commas between them, take turns.
    let addrs = args.first().map_or("127.0.0.1:7133", String::as_str);
    let addrs: Vec<SocketAddr> =
        addrs.split(',').map(look_up).collect::<Result<_>>()?;
    let count: NonZeroUsize = parse(args.get(1).map_or("3", String::as_str))?;
    let patience: NonZeroU32 =
        parse(args.get(2).map_or(PATIENCE, String::as_str))?;
    let patience = Duration::from_millis(patience.get().into());
    let deadline = Instant::now() + patience;

    let mut poll = Poll::new().context("make a poll")?;
    let mut open = HashMap::new();
    for (number, addr) in (1..=count.get()).zip(addrs.iter().cycle()) {
        // This does not wait.
        match Connection::start(*addr, Token(number), poll.registry()) {
            Ok(connection) => {
                open.insert(Token(number), connection);
            }
            Err(error) => log(format_args!("connection {number}: {error:#}")),
        }
    }
    let done = finish(&mut poll, &mut open, deadline)?;

    let mut late: Vec<_> = open.into_iter().collect();
    late.sort_by_key(|(token, _)| *token);
    for (Token(number), connection) in late {
        let late = connection.late();
        log(format_args!("connection {number}: {late} for {patience:?}"));
    }
    println!("{done} of {count} done");
    ensure!(done == count.get(), "{} failed", count.get() - done);
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: finish
/// Goes on with each connection whenever it can; returns how many have done
/// all of it. What is still open at the deadline stays in the map.
fn finish(
    poll: &mut Poll,
    open: &mut HashMap<Token, Connection>,
    deadline: Instant,
) -> Result<usize> {
    let mut events = Events::with_capacity(1024);
    let mut done = 0;
    while !open.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // All the waiting is here.
        match poll.poll(&mut events, Some(left)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.context("wait for events")?,
        }
        for event in &events {
            let token = event.token();
            let Some(connection) = open.get_mut(&token) else {
                continue; // it ended with an earlier event of this round
            };
            match connection.go_on() {
                Ok(State::Open) => continue,
                Ok(State::Done) => {
                    done += 1;
                    let bytes = connection.received;
                    println!("connection {}: {bytes} bytes back", token.0);
                }
                Err(error) => {
                    log(format_args!("connection {}: {error:#}", token.0));
                }
            }
            open.remove(&token); // closes it
        }
    }
    Ok(done)
}
// ANCHOR_END: finish

// ANCHOR: start
struct Connection {
    addr: SocketAddr,
    stream: TcpStream,
    connected: bool,
    /// The message that is being sent, and how many of its bytes have been.
    message: usize,
    sent: usize,
    /// How many bytes have come back, of all messages together.
    received: usize,
}

enum State {
    Open,
    Done,
}

impl Connection {
    fn start(
        addr: SocketAddr,
        token: Token,
        registry: &Registry,
    ) -> Result<Connection> {
        let mut stream = TcpStream::connect(addr)
            .with_context(|| format!("connect to {addr}"))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry
            .register(&mut stream, token, interest)
            .with_context(|| format!("register {addr}"))?;
        Ok(Connection {
            addr,
            stream,
            connected: false,
            message: 0,
            sent: 0,
            received: 0,
        })
    }
    // ANCHOR_END: start

    // ANCHOR: go_on
    /// Does what can be done without waiting.
    fn go_on(&mut self) -> Result<State> {
        let addr = self.addr;
        if !self.connected {
            self.connected = self
                .has_connected()
                .with_context(|| format!("connect to {addr}"))?;
            if !self.connected {
                return Ok(State::Open);
            }
        }
        self.send().with_context(|| format!("send to {addr}"))?;
        self.receive()
            .with_context(|| format!("receive from {addr}"))
    }

    /// Whether the kernel has connected. An error says that it never will.
    fn has_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            // The event was about something else.
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
    // ANCHOR_END: go_on

    // ANCHOR: count
    fn send(&mut self) -> io::Result<()> {
        while let Some(message) = MESSAGES.get(self.message) {
            match self.stream.write(&message[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break, // an event will tell
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
            if self.sent == message.len() {
                self.message += 1;
                self.sent = 0;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<State> {
        let expected = MESSAGES.concat();
        let mut buffer = [0; 1024];
        while self.received < expected.len() {
            let n = match self.stream.read(&mut buffer) {
                Ok(0) => bail!("closed after {} bytes", self.received),
                Ok(n) => n,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(State::Open),
                    ErrorKind::Interrupted => continue,
                    _ => return Err(error.into()),
                },
            };
            // Of one message, of both, or of a part: the count decides.
            ensure!(
                expected[self.received..].starts_with(&buffer[..n]),
                "{n} bytes that are not an echo"
            );
            self.received += n;
        }
        Ok(State::Done)
    }
    // ANCHOR_END: count

    /// What it was that did not happen in time.
    fn late(&self) -> String {
        let (addr, received) = (self.addr, self.received);
        match self.connected {
            false => format!("connect to {addr}: no answer"),
            true => format!("receive from {addr}: {received} bytes back"),
        }
    }
}

fn look_up(addr: &str) -> Result<SocketAddr> {
    addr.to_socket_addrs()
        .with_context(|| format!("look up {addr}"))?
        .next()
        .with_context(|| format!("no address for {addr}"))
}

fn parse<T: FromStr>(text: &str) -> Result<T>
where
    T::Err: Error + Send + Sync + 'static,
{
    text.parse()
        .with_context(|| format!("{text} as a number above 0"))
}

/// A line on stderr. `eprintln!` would panic if nobody can take it.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
