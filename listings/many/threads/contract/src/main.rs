//! Starts an echo server once for each case of the contract, and says which of
//! them it keeps.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::num::NonZeroU32;
use std::process::{self, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use contract::{
    PATIENCE, Server, is_timeout, ping, receive, receive_end, receive_prefix,
    send, unacknowledged,
};
use socket2::SockRef;

const USAGE: &str = "usage: contract [--full] [--case NAME] [--seed NUMBER] \
                     [--patience MILLISECONDS] PROGRAM [ARGS…], or contract \
                     --list";

/// A part of the contract.
struct Case {
    name: &'static str,
    run: fn(&Test) -> Result<()>,
    /// Whether it looks at the server through `/proc`, or sends a signal.
    needs_linux: bool,
}

const fn case(name: &'static str, run: fn(&Test) -> Result<()>) -> Case {
    let needs_linux = false;
    Case {
        name,
        run,
        needs_linux,
    }
}

const fn on_linux(name: &'static str, run: fn(&Test) -> Result<()>) -> Case {
    let needs_linux = true;
    Case {
        name,
        run,
        needs_linux,
    }
}

// ANCHOR: cases
const CASES: [Case; 11] = [
    case("many", many),
    case("slow", slow),
    on_linux("deaf", deaf),
    on_linux("reset", reset),
    case("half-close", half_close),
    case("splits", splits),
    on_linux("churn", churn),
    on_linux("descriptors", descriptors),
    on_linux("shutdown", shutdown),
    on_linux("idle", idle),
    case("limit", limit),
];
// ANCHOR_END: cases

/// The server to test, and how.
struct Test {
    program: String,
    /// What follows the address.
    args: Vec<String>,
    /// With the numbers of the contract, or with small ones.
    full: bool,
    /// Of all that is random.
    seed: u64,
    /// How long any single answer may take.
    patience: Duration,
}

impl Test {
    fn start(&self) -> Result<Server> {
        Server::start(&self.program, &self.args, None, self.patience)
    }

    fn pick<T>(&self, full: T, small: T) -> T {
        if self.full { full } else { small }
    }
}

fn main() -> ExitCode {
    if env::args().skip(1).eq(["--list"]) {
        for case in &CASES {
            let _ = writeln!(io::stdout(), "{}", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let (test, only) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("contract: {error:#}");
            return ExitCode::from(2);
        }
    };
    let mut failures = 0;
    for case in &CASES {
        if only.as_ref().is_some_and(|only| only != case.name) {
            continue;
        }
        let said = if case.needs_linux && !cfg!(target_os = "linux") {
            "skipped: it needs Linux".to_string()
        } else {
            match (case.run)(&test) {
                Ok(()) => "ok".to_string(),
                Err(error) => {
                    failures += 1;
                    format!("FAILED: {error:#}")
                }
            }
        };
        // The server counts, not whether somebody reads about it.
        let _ = writeln!(io::stdout(), "{}: {said}", case.name);
    }
    if failures > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn arguments() -> Result<(Test, Option<String>)> {
    let mut args = env::args().skip(1);
    let mut only = None;
    let mut full = false;
    let mut seed = RandomState::new().hash_one("seed") % 1_000_000;
    let mut patience = PATIENCE;
    loop {
        let arg = args.next().context(USAGE)?;
        match arg.as_str() {
            "--full" => full = true,
            "--case" => {
                let name = args.next().context(USAGE)?;
                let known = CASES.map(|case| case.name);
                ensure!(
                    known.contains(&name.as_str()),
                    "no case {name}; there are {}",
                    known.join(", ")
                );
                only = Some(name);
            }
            "--seed" => {
                let number = args.next().context(USAGE)?;
                seed = number
                    .parse()
                    .with_context(|| format!("{number} as a seed"))?;
            }
            "--patience" => {
                let number = args.next().context(USAGE)?;
                let milliseconds: NonZeroU32 = number
                    .parse()
                    .with_context(|| format!("{number} as milliseconds"))?;
                patience = Duration::from_millis(milliseconds.get().into());
            }
            other => {
                ensure!(!other.starts_with('-'), USAGE);
                let program = arg;
                let args = args.collect();
                let test = Test {
                    program,
                    args,
                    full,
                    seed,
                    patience,
                };
                return Ok((test, only));
            }
        }
    }
}

// ANCHOR: many
/// Many clients at once: all connect before the first of them says a word, and
/// all stay until the last of them has its answer.
fn many(test: &Test) -> Result<()> {
    let server = test.start()?;
    let count = test.pick(1000, 200);
    let mut clients = Vec::new();
    for i in 0..count {
        let client = server.connect();
        clients.push(client.with_context(|| format!("client {i}"))?);
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let line = format!("client {i} of {count}");
        send(client, line.as_bytes()).context(line)?;
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let line = format!("client {i} of {count}");
        receive(client, line.as_bytes()).context(line)?;
    }
    Ok(())
}
// ANCHOR_END: many

/// One client sends a byte now and then. The others don't notice.
fn slow(test: &Test) -> Result<()> {
    let interval =
        test.pick(Duration::from_secs(1), Duration::from_millis(100));
    // The same server once more, where nobody is slow: how long an answer takes
    // on this machine at this moment.
    let [server, calm] = [test.start()?, test.start()?];
    // The slow one is the first in line.
    let mut slow = server.connect()?;
    let (mut fast, mut usual) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        fast.push(server.connect()?);
        usual.push(calm.connect()?);
    }
    let (mut times, mut usual_times) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let slow = scope.spawn(move || -> Result<()> {
            for byte in 0..10 {
                ping(&mut slow, &[byte])?;
                thread::sleep(interval);
            }
            Ok(())
        });
        while !slow.is_finished() {
            for (client, usual) in fast.iter_mut().zip(&mut usual) {
                times.push(time(client).context("a fast client")?);
                usual_times.push(time(usual).context("a usual client")?);
            }
            thread::sleep(Duration::from_millis(1));
        }
        joined(slow.join()).context("the slow client")
    })?;
    let (p99, usual) = (p99(&mut times), p99(&mut usual_times));
    let most = (interval / 2).max(4 * usual);
    ensure!(
        p99 < most,
        "expected 99 of 100 answers within {most:?} while another client sends \
         a byte each {interval:?}; they took up to {p99:?}"
    );
    Ok(())
}

/// How long an answer takes.
fn time(client: &mut TcpStream) -> Result<Duration> {
    let begun = Instant::now();
    ping(client, &[b'.'; 64])?;
    Ok(begun.elapsed())
}

/// The time that 99 of 100 do not exceed.
fn p99(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// Some clients send and never read. The server stops reading from them, with
/// little in its memory, and serves the others. Nothing is lost.
fn deaf(test: &Test) -> Result<()> {
    let server = test.start()?;
    // What the first client costs is not what the deaf ones cost.
    ping(&mut server.connect()?, b"Hello")?;
    let before = server.usage()?.memory;

    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.connect_small()?);
    }
    let sent = send_until_stuck(&mut clients)?;
    let growth = server.usage()?.memory.saturating_sub(before);
    ensure!(
        growth < 8 * 1024,
        "expected at most 64 KiB more memory for each of 4 clients that don't \
         read; it was {growth} KiB for all"
    );
    ping(&mut server.connect()?, b"Hello").context("another client")?;

    for (client, sent) in clients.iter_mut().zip(sent) {
        client.shutdown(Shutdown::Write)?;
        receive(client, &pattern(sent))
            .and_then(|()| receive_end(client))
            .context("a client that reads at last")?;
    }
    Ok(())
}

/// More than all buffers of two kernels together hold.
const MOST: usize = 128 << 20;

/// Sends the pattern to each until hardly a byte is taken any more; returns how
/// many bytes each has taken.
fn send_until_stuck(clients: &mut [TcpStream]) -> Result<Vec<usize>> {
    const WHILE: Duration = Duration::from_millis(300);
    // Kernels that wait for room go on to try with a few bytes.
    const HARDLY: usize = 256 * 1024;
    let pattern = pattern(HARDLY);
    let mut sent = vec![0; clients.len()];
    for client in &mut *clients {
        client.set_nonblocking(true)?;
    }
    loop {
        let before: usize = sent.iter().sum();
        let begun = Instant::now();
        while begun.elapsed() < WHILE {
            for (client, sent) in clients.iter_mut().zip(&mut sent) {
                *sent += send_some(client, &pattern[*sent % PERIOD..])?;
                ensure!(
                    *sent < MOST,
                    "expected the server to stop reading from a client that \
                     does not read; it took {sent} bytes"
                );
            }
            thread::sleep(Duration::from_millis(1));
        }
        if sent.iter().sum::<usize>() - before < HARDLY {
            break;
        }
    }
    for client in clients {
        client.set_nonblocking(false)?;
    }
    Ok(sent)
}

/// As much as is taken without waiting.
fn send_some(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize> {
    match stream.write(bytes) {
        Ok(n) => Ok(n),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::Interrupted
            ) =>
        {
            Ok(0)
        }
        Err(error) => Err(error).context("send to a server that must wait"),
    }
}

/// A prime, so that no buffer of a usual size hides that it came twice.
const PERIOD: usize = 251;

/// So many bytes that say where in the stream they belong.
fn pattern(length: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..=250).collect();
    let mut pattern = period.repeat(length / PERIOD + 1);
    pattern.truncate(length);
    pattern
}

/// Clients vanish with a reset, in the middle of all kinds of things. It ends
/// their own connection and nothing else.
fn reset(test: &Test) -> Result<()> {
    let server = test.start()?;
    let before = server.usage()?.descriptors;
    let mut witness = server.connect()?;
    for i in 0..test.pick(100, 40) {
        let mut client = server.connect_small()?;
        match i % 4 {
            // At once: perhaps before `accept`.
            0 => {}
            // With bytes on their way.
            1 => send(&mut client, b"Hello")?,
            // With an answer that nobody has read.
            2 => {
                send(&mut client, b"Hello")?;
                client.set_read_timeout(Some(Duration::from_millis(50)))?;
                let _ = client.peek(&mut [0; 1]);
            }
            // While the server waits to send more.
            _ => {
                client.set_nonblocking(true)?;
                while client.write(&[b'!'; 4096]).is_ok() {}
            }
        }
        abort(client)?;
    }
    ping(&mut witness, b"Am I still here?").context("an older connection")?;
    drop(witness);
    ping(&mut server.connect()?, b"Hello").context("the next connection")?;
    released(&server, before)
}

/// Closes with RST in place of FIN.
fn abort(stream: TcpStream) -> Result<()> {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .context("set SO_LINGER")
}

/// Waits until the server has as many descriptors as before its clients came.
fn released(server: &Server, before: usize) -> Result<()> {
    // It may have made a few for itself in between.
    const OWN: usize = 4;
    let until = Instant::now() + server.patience;
    loop {
        let now = server.usage()?.descriptors;
        if now <= before + OWN {
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "expected {before} descriptors as before, and {OWN} more at most; \
             there are {now}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// A client that has said everything closes its side, and gets the whole
/// answer nevertheless.
fn half_close(test: &Test) -> Result<()> {
    let server = test.start()?;
    for length in [0, 1, 10, 1 << 20] {
        let mut client = server.connect()?;
        let message = pattern(length);
        exchange(&mut client, &message, |mut writer| {
            send(&mut writer, &message)
        })
        .with_context(|| format!("{length} bytes, then a half-close"))?;
    }
    Ok(())
}

/// Lets `write` send the message in a thread of its own and half-closes, while
/// this one reads all of it back.
fn exchange(
    client: &mut TcpStream,
    message: &[u8],
    write: impl FnOnce(TcpStream) -> Result<()> + Send,
) -> Result<()> {
    let writer = client.try_clone().context("clone the stream")?;
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let end = writer.try_clone()?;
            write(writer)?;
            end.shutdown(Shutdown::Write).context("half-close")
        });
        receive(client, message)?;
        receive_end(client)?;
        joined(sender.join())
    })
}

/// However a client splits its bytes, they come back in order.
fn splits(test: &Test) -> Result<()> {
    let server = test.start()?;
    let mut random = Random::new(test.seed);
    for _ in 0..test.pick(20, 4) {
        // Small pieces and large ones, for they take different ways.
        for most in [3, 200, 70_000] {
            let length =
                random.up_to(most * 300).min(test.pick(4 << 20, 1 << 20));
            let message: Vec<u8> =
                (0..length).map(|_| random.next() as u8).collect();
            let mut client = server.connect()?;
            exchange(&mut client, &message, |mut writer| {
                let mut rest = &message[..];
                while !rest.is_empty() {
                    let n = random.up_to(most).min(rest.len());
                    send(&mut writer, &rest[..n])?;
                    rest = &rest[n..];
                }
                Ok(())
            })
            .with_context(|| {
                format!(
                    "{length} bytes in pieces of at most {most}, --seed {}",
                    test.seed
                )
            })?;
        }
    }
    Ok(())
}

/// Numbers that a seed gives again: splitmix64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 1 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize + 1
    }
}

/// Clients come and go. They leave neither descriptors nor memory behind.
fn churn(test: &Test) -> Result<()> {
    let server = test.start()?;
    let before = server.usage()?.descriptors;
    visit(&server, 500)?;
    released(&server, before)?;
    let memory = server.usage()?.memory;

    visit(&server, test.pick(100_000, 2_000))?;
    released(&server, before)?;
    let growth = server.usage()?.memory.saturating_sub(memory);
    ensure!(
        growth < 4 * 1024,
        "expected memory to stay as it was after 500 connections; there are \
         {growth} KiB more"
    );
    ping(&mut server.connect()?, b"Hello").context("after all that")
}

/// Makes so many connections, one after the other. Half of them get an answer
/// and close; the others only knock, and end with a reset.
fn visit(server: &Server, count: u32) -> Result<()> {
    let [.., high, low] = process::id().to_be_bytes();
    for i in 0..count {
        // A connection that we close keeps its port for a minute, and the
        // search for a free one becomes slow long before there is none. Each
        // address of 127/8 has ports of its own, on Linux.
        let last = (i / 1000 % 250) as u8 + 1;
        let source = Ipv4Addr::new(127, high | 128, low, last);
        let visitor = || -> Result<()> {
            let mut client = server.connect_from(Some(source))?;
            if i % 2 == 0 {
                ping(&mut client, b"Hello")
            } else {
                abort(client)
            }
        };
        visitor().with_context(|| format!("connection {i} of {count}"))?;
    }
    Ok(())
}

/// The server runs out of descriptors. It waits without a spin, and goes on
/// when clients leave.
fn descriptors(test: &Test) -> Result<()> {
    let server =
        Server::start(&test.program, &test.args, Some(64), test.patience)?;
    let mut clients = Vec::new();
    for i in 0..100 {
        let mut client =
            server.connect().with_context(|| format!("client {i}"))?;
        send(&mut client, b"Hello")?;
        clients.push(client);
    }
    receive(&mut clients[0], b"Hello").context("the first client")?;

    // Whoever else is to be accepted now has been.
    thread::sleep(Duration::from_millis(200));
    let lines = server.log_lines()?;
    let (ran, measure) = server.running()?;
    let lines = server.log_lines()? - lines;
    ensure!(
        ran <= 2.max(measure / 10),
        "expected a server without descriptors to wait; in one second it ran \
         for {ran} hundredths, and one that never waits for {measure}"
    );
    ensure!(
        lines < 50,
        "expected a line of log or a few; there were {lines} in one second"
    );

    // In the order in which they came: each that leaves lets another one in.
    for (left, mut client) in clients.into_iter().enumerate().skip(1) {
        receive(&mut client, b"Hello").with_context(|| {
            format!("client {left}, when the {left} before it had left")
        })?;
    }
    ping(&mut server.connect()?, b"Hello").context("after all that")
}

/// The server is told to end under load. What it had accepted is answered, the
/// streams end without a reset, and so does the server.
fn shutdown(test: &Test) -> Result<()> {
    let server = test.start()?;
    let message = pattern(64 * 1024);

    // Silent ones, who have asked and not read when the signal comes.
    let mut silent = Vec::new();
    for _ in 0..30 {
        let mut client = server.connect()?;
        ping(&mut client, b"Hello").context("before the signal")?;
        send(&mut client, &message)?;
        silent.push(client);
    }
    // One who says nothing.
    let mut idle = server.connect()?;
    ping(&mut idle, b"Hello").context("before the signal")?;
    // Deaf ones, whose bytes the server can't have read all.
    let mut deaf = Vec::new();
    for _ in 0..3 {
        deaf.push(server.connect_small()?);
    }
    let sent = send_until_stuck(&mut deaf)?;
    let until = Instant::now() + server.patience;
    while unacknowledged(&silent)?.iter().any(|bytes| *bytes > 0) {
        ensure!(
            Instant::now() < until,
            "expected the server's kernel to take 64 KiB of each client"
        );
        thread::sleep(Duration::from_millis(1));
    }

    thread::scope(|scope| {
        // Busy ones, who ask and read in turn until their streams end.
        let (sender, begun) = mpsc::channel();
        let mut busy = Vec::new();
        for _ in 0..10 {
            let client = server.connect()?;
            let sender = sender.clone();
            busy.push(scope.spawn(move || talk(client, &sender)));
        }
        drop(sender);
        for _ in &busy {
            begun.recv_timeout(test.patience).context("a busy client")?;
        }
        // What has arrived can no longer be taken back: it is to be answered.
        let waiting = unacknowledged(&deaf)?;
        server.terminate()?;
        for busy in busy {
            joined(busy.join()).context("a busy client")?;
        }
        refused(&server)?;
        for (i, client) in deaf.iter_mut().enumerate() {
            let arrived = sent[i] - waiting[i];
            let got = receive_prefix(client, &pattern(sent[i]))
                .context("a client with full buffers")?;
            ensure!(
                got >= arrived,
                "{arrived} bytes had arrived before the signal; {got} came \
                 back"
            );
            receive_end(client).context("a client with full buffers")?;
        }
        for client in &mut silent {
            receive(client, &message)
                .and_then(|()| receive_end(client))
                .context("a client that had not read")?;
        }
        receive_end(&mut idle).context("an idle client")
    })?;
    drop((silent, deaf, idle));

    let status = server.wait(2 * test.patience)?;
    ensure!(
        status.success(),
        "expected the status 0, got {status}{}",
        server.last_words()
    );
    Ok(())
}

/// Asks and reads in turn, until the stream ends; tells when it has begun.
fn talk(mut client: TcpStream, begun: &mpsc::Sender<()>) -> Result<()> {
    let question = pattern(1000);
    ping(&mut client, &question)?;
    begun
        .send(())
        .context("nobody waits for the first answer")?;
    loop {
        send(&mut client, &question)?;
        if receive_prefix(&mut client, &question)? < question.len() {
            return Ok(());
        }
    }
}

/// Waits until nobody listens any more.
fn refused(server: &Server) -> Result<()> {
    let until = Instant::now() + server.patience;
    while server.connect().is_ok() {
        ensure!(
            Instant::now() < until,
            "expected the listener to be closed after the signal"
        );
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

// ANCHOR: idle
/// Clients that say nothing cost no processor time.
fn idle(test: &Test) -> Result<()> {
    let server = test.start()?;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(server.connect()?);
    }
    ping(&mut clients[0], b"Hello")?;
    // In the first second the server may still accept.
    let mut least = u64::MAX;
    for _ in 0..3 {
        let (ran, _) = server.running()?;
        least = least.min(ran);
        if least <= 1 {
            return ping(&mut clients[0], b"Hello");
        }
    }
    bail!(
        "expected no processor time for 100 idle clients; in the best of three \
         seconds the server ran for {least} hundredths"
    )
}
// ANCHOR_END: idle

/// At its limit of connections the server lets the next client wait, until one
/// leaves.
fn limit(test: &Test) -> Result<()> {
    const LIMIT: usize = 8;
    let mut args = test.args.clone();
    // The second argument of a server, after its address, is the limit.
    args.splice(..1.min(args.len()), [LIMIT.to_string()]);
    let server = Server::start(&test.program, &args, None, test.patience)?;

    let mut inside = Vec::new();
    for i in 1..=LIMIT {
        let mut client = server.connect()?;
        ping(&mut client, b"Hello")
            .with_context(|| format!("client {i} of {LIMIT}"))?;
        inside.push(client);
    }
    let mut waiting = Vec::new();
    for _ in 0..LIMIT {
        let mut client = server.connect()?;
        send(&mut client, b"Hello")?;
        waiting.push(client);
    }
    let first = &waiting[0];
    first.set_read_timeout(Some(Duration::from_millis(300)))?;
    match first.peek(&mut [0; 1]) {
        Err(error) if is_timeout(&error) => {}
        answer => bail!(
            "expected client {} to wait at a limit of {LIMIT}; it got \
             {answer:?}",
            LIMIT + 1
        ),
    }
    first.set_read_timeout(Some(test.patience))?;
    for mut client in waiting {
        inside.remove(0); // closes it
        receive(&mut client, b"Hello").context("when another client left")?;
        inside.push(client);
    }
    Ok(())
}

/// What a thread returned. A panic in it goes on here.
fn joined<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
