//! Connections that stay: ping-pong and open loop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use load::linux::{self, Done, Ring};
use load::options::{Options, Workload};
use load::pattern::Pattern;
use load::watch::{self, Idle, Process, Report, Window};

/// How long the server may answer nothing at all.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, in bytes since its beginning.
#[derive(Debug, Clone)]
struct Connection {
    /// What is to be sent up to now, by the clock or by the answers.
    due: u64,
    /// What was handed to the kernel.
    sent: u64,
    received: u64,
    /// When the message that is unanswered was sent, in a closed loop.
    begun: Instant,
    is_sending: bool,
    is_lost: bool,
}

/// What decides when a message is sent.
enum Pace {
    /// The answer to the one before it.
    Closed,
    /// The clock.
    Open {
        start: Instant,
        interval: Duration,
        /// How many messages there are, on all connections together.
        count: u64,
        /// How many of them were due up to now.
        next: u64,
    },
}

// ANCHOR: run
pub fn run(options: &Options) -> Result<Report> {
    let pattern = Pattern::new();
    let server = options.server.map(Process::of);
    // What a server sets up for its first client is not the connections'.
    connect(options, pattern, 1)?;
    let before = server.as_ref().map(Process::memory).transpose()?;
    let streams = connect(options, pattern, options.connections)?;
    let idle = idle(options, server.as_ref(), before)?;

    let fds: Vec<RawFd> = streams.iter().map(AsRawFd::as_raw_fd).collect();
    let mut ring =
        Ring::new(options.connections, options.size.clamp(4096, 65536))?;
    ring.register(&fds)?;
    for token in 0..streams.len() {
        ring.receive_all(token as u32)?;
    }
    let mut report = exchange(options, pattern, ring)?;
    report.idle = idle;
    Ok(report)
}

/// Connects, and lets each connection say its first message, so that the
/// server has accepted it and has made for it what it makes.
fn connect(
    options: &Options,
    pattern: Pattern,
    count: usize,
) -> Result<Vec<TcpStream>> {
    let addr = options.addr;
    let mut streams: Vec<TcpStream> = Vec::with_capacity(count);
    let mut answer = vec![0; options.size];
    // Not too many at once: the server's backlog is not what we measure.
    while streams.len() < count {
        let begun = streams.len();
        for number in begun..count.min(begun + 64) {
            let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)
                .with_context(|| format!("connect to {addr}"))?;
            stream.set_nodelay(true)?;
            linux::plain(&stream)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            if options.size <= 4096 {
                stream
                    .write_all(pattern.bytes(number, 0, options.size))
                    .with_context(|| format!("send to {addr}"))?;
            }
            streams.push(stream);
        }
        for (number, stream) in streams.iter_mut().enumerate().skip(begun) {
            if options.size > 4096 {
                // One after the other: all of them would fill all buffers.
                stream.write_all(pattern.bytes(number, 0, options.size))?;
            }
            stream.read_exact(&mut answer).with_context(|| {
                format!(
                    "wait for {addr} to answer connection {} of {count}",
                    number + 1
                )
            })?;
            pattern.check(number, 0, &answer)?;
        }
    }
    Ok(streams)
}
// ANCHOR_END: run

/// Everybody is silent for a while. What does the server use?
fn idle(
    options: &Options,
    server: Option<&Process>,
    before: Option<u64>,
) -> Result<Option<Idle>> {
    let (Some(server), Some(before)) = (server, before) else {
        thread::sleep(options.idle);
        return Ok(None);
    };
    if options.idle.is_zero() {
        return Ok(None);
    }
    let (cpu, begun) = (server.cpu()?, Instant::now());
    thread::sleep(options.idle);
    let (before_cpu, after_cpu): (Duration, Duration) =
        (cpu.iter().sum(), server.cpu()?.iter().sum());
    let used = after_cpu - before_cpu;
    Ok(Some(Idle {
        cpu: used.as_secs_f64() / begun.elapsed().as_secs_f64(),
        memory: server.memory()? as i64 - before as i64,
    }))
}

// ANCHOR: exchange
fn exchange(
    options: &Options,
    pattern: Pattern,
    mut ring: Ring,
) -> Result<Report> {
    let size = options.size as u64;
    let active = options.active;
    let mut late = watch::histogram()?;
    let mut window = Window::new(options)?;
    let start = window.begin() - options.warm_up;
    let mut pace = pace(options, start);
    let mut errors = 0;
    let mut total = 0;
    // What was sent with the connecting has been answered.
    let first = Connection {
        due: size,
        sent: size,
        received: size,
        begun: start,
        is_sending: false,
        is_lost: false,
    };
    let mut connections = vec![first; options.connections];
    if let Pace::Closed = pace {
        for (token, connection) in connections[..active].iter_mut().enumerate()
        {
            connection.due += size;
            send(&mut ring, pattern, token, connection, &pace)?;
        }
    }
    let mut heard = Instant::now();
    loop {
        ring.wait(pace.patience(PATIENCE))?;
        // One look at the clock for all that has happened.
        let now = Instant::now();
        let over = window.is_over(now)?;
        while let Some(done) = ring.take() {
            heard = now;
            match done {
                Done::Received {
                    token,
                    buffer,
                    is_last,
                } => {
                    let number = token as usize;
                    let connection = &mut connections[number];
                    let bytes = ring.bytes(&buffer);
                    ensure!(
                        connection.received + bytes.len() as u64
                            <= connection.due,
                        "connection {number} got more bytes than it sent"
                    );
                    pattern.check(number, connection.received, bytes)?;
                    let before = connection.received / size;
                    connection.received += bytes.len() as u64;
                    ring.give_back(buffer);
                    if is_last {
                        ring.receive_all(token)?;
                    }
                    // Whole messages; the first one was not of this loop.
                    for message in before..connection.received / size {
                        total += 1;
                        let begun = match &pace {
                            Pace::Closed => connection.begun,
                            Pace::Open { .. } => pace.due(
                                ((message - 1) as usize * active + number)
                                    as u64,
                            ),
                        };
                        window.record(begun, now);
                        if matches!(pace, Pace::Closed) && !over {
                            connection.begun = now;
                            connection.due += size;
                            send(
                                &mut ring, pattern, number, connection, &pace,
                            )?;
                        }
                    }
                }
                Done::Sent { token } => {
                    let number = token as usize;
                    let connection = &mut connections[number];
                    connection.is_sending = false;
                    send(&mut ring, pattern, number, connection, &pace)?;
                }
                Done::Starved { token } => ring.receive_all(token)?,
                Done::Ended { token } | Done::Failed { token, .. } => {
                    let connection = &mut connections[token as usize];
                    errors += u64::from(!connection.is_lost);
                    connection.is_lost = true;
                }
            }
        }
        // By the clock, whatever is unanswered.
        while let Some(number) = pace.next(now, active) {
            let connection = &mut connections[number];
            let due = pace.due(pace.count_of_due() - 1);
            late.saturating_record((now - due).as_nanos() as u64);
            connection.due += size;
            send(&mut ring, pattern, number, connection, &pace)?;
        }
        let spoken = &connections[..active];
        if errors > 0 && spoken.iter().all(|connection| connection.is_lost) {
            bail!("{} has closed all connections", options.addr);
        }
        let unanswered = || {
            spoken
                .iter()
                .any(|one| !one.is_lost && one.received < one.due)
        };
        if over && pace.is_done() && !unanswered() {
            break;
        }
        if now - heard > PATIENCE && unanswered() {
            bail!("{} has answered nothing for {PATIENCE:?}", options.addr);
        }
    }
    let mut report = window.report();
    report.errors = errors;
    report.total = total;
    if let Pace::Open { .. } = pace {
        report.late = Some(late);
    }
    Ok(report)
}
// ANCHOR_END: exchange

// ANCHOR: pace
fn pace(options: &Options, start: Instant) -> Pace {
    match options.workload {
        Workload::Open => {
            let length = options.warm_up + options.length;
            Pace::Open {
                start,
                interval: Duration::from_secs_f64(1.0 / options.rate),
                count: (length.as_secs_f64() * options.rate).ceil() as u64,
                next: 0,
            }
        }
        _ => Pace::Closed,
    }
}

impl Pace {
    /// When a message is due. That is when its wait begins, whether or not
    /// we were able to send it then.
    fn due(&self, message: u64) -> Instant {
        match self {
            Pace::Open {
                start, interval, ..
            } => {
                let nanoseconds = interval.as_nanos() as u64 * message;
                *start + Duration::from_nanos(nanoseconds)
            }
            Pace::Closed => Instant::now(),
        }
    }

    /// The connection on which the next message is due, if one is. They take
    /// turns.
    fn next(&mut self, now: Instant, active: usize) -> Option<usize> {
        let due = self.due(self.count_of_due());
        if self.is_done() || due > now {
            return None;
        }
        let Pace::Open { next, .. } = self else {
            return None;
        };
        let number = *next as usize % active;
        *next += 1;
        Some(number)
    }
    // ANCHOR_END: pace

    fn count_of_due(&self) -> u64 {
        match self {
            Pace::Open { next, .. } => *next,
            Pace::Closed => 0,
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Pace::Open { count, next, .. } => next >= count,
            Pace::Closed => true,
        }
    }

    /// How long the ring may wait. A sleep would be late by tens of
    /// microseconds, so with a clock there is none: this core is ours.
    fn patience(&self, longest: Duration) -> Duration {
        match self {
            Pace::Open { .. } => Duration::ZERO,
            Pace::Closed => longest.min(Duration::from_millis(100)),
        }
    }
}

/// Sends what is due and was not sent, unless a send is under way.
fn send(
    ring: &mut Ring,
    pattern: Pattern,
    number: usize,
    connection: &mut Connection,
    pace: &Pace,
) -> Result<()> {
    let n = (connection.due - connection.sent)
        .min(load::pattern::LONGEST as u64) as usize;
    if n == 0 || connection.is_sending || connection.is_lost {
        return Ok(());
    }
    let bytes = pattern.bytes(number, connection.sent, n);
    connection.sent += n as u64;
    // In a closed loop the answer tells that it was sent.
    let report = matches!(pace, Pace::Open { .. });
    connection.is_sending = report;
    ring.send(number as u32, bytes, report)
}
