use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::str;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a count may take, and how far it may go.
const MAX_TIME: Duration = Duration::from_secs(60);
const MAX_COUNT: usize = 1000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7070".to_string());
    let quiet = args.next().unwrap_or_else(|| "300".to_string());
    match run(&addr, &quiet) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("count-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, quiet: &str) -> Result<()> {
    // A count is over when nothing has come for this long.
    let quiet = quiet
        .parse::<u32>()
        .map(|number| Duration::from_millis(number.into()))
        .with_context(|| format!("{quiet} as milliseconds"))?;
    let socket =
        UdpSocket::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", socket.local_addr()?);

    let mut buffer = vec![0; 65536]; // no datagram is longer
    let mut current: Option<Count> = None; // one at a time
    loop {
        if let Some(over) = current.take_if(|it| it.deadline(quiet) <= now()) {
            writeln!(io::stdout(), "{}", over.report())?;
        }
        let left = current.as_ref().map(|it| time_left(it.deadline(quiet)));
        socket.set_read_timeout(left)?;
        let (n, peer) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) => {
                may_go_on(&error);
                continue;
            }
        };
        let Some((number, total)) = parse(&buffer[..n]) else {
            log(format_args!("{peer}: no number of a count"));
            continue;
        };
        let count = current.get_or_insert_with(|| Count::new(peer, total));
        if (count.peer, count.times.len()) == (peer, total) {
            writeln!(io::stdout(), "{number}{}", count.take(number))?;
        } else {
            log(format_args!("{peer}: not now"));
        }
    }
}
// ANCHOR_END: run

// ANCHOR: count
struct Count {
    peer: SocketAddr,
    /// How often each number has come; the first one is 1.
    times: Vec<u32>,
    late: Vec<usize>,
    highest: usize,
    started: Instant,
    heard: Instant,
}

impl Count {
    /// Takes a number, and says what is wrong with it.
    fn take(&mut self, number: usize) -> &'static str {
        self.heard = now();
        let times = &mut self.times[number - 1];
        *times = times.saturating_add(1);
        if *times > 1 {
            " again"
        } else if number < self.highest {
            self.late.push(number);
            " late"
        } else {
            let skips = number > self.highest + 1;
            self.highest = number;
            if skips {
                " too early, or one is lost"
            } else {
                ""
            }
        }
    }
}
// ANCHOR_END: count

// ANCHOR: report
impl Count {
    fn report(&self) -> String {
        let numbers = |wanted: fn(u32) -> bool| -> Vec<usize> {
            (1..)
                .zip(&self.times)
                .filter(|(_, times)| wanted(**times))
                .map(|(number, _)| number)
                .collect()
        };
        let lost = numbers(|times| times == 0);
        let doubled = numbers(|times| times > 1);
        format!("lost {lost:?}, doubled {doubled:?}, late {:?}", self.late)
    }
}
// ANCHOR_END: report

impl Count {
    fn new(peer: SocketAddr, total: usize) -> Count {
        Count {
            peer,
            times: vec![0; total],
            late: Vec::new(),
            highest: 0,
            started: now(),
            heard: now(),
        }
    }

    fn deadline(&self, quiet: Duration) -> Instant {
        (self.heard + quiet).min(self.started + MAX_TIME)
    }
}

/// Such as `3 of 6`. The peer chooses both, within limits.
fn parse(payload: &[u8]) -> Option<(usize, usize)> {
    let (number, total) = str::from_utf8(payload).ok()?.split_once(" of ")?;
    let (number, total) = (number.parse().ok()?, total.parse().ok()?);
    (1 <= number && number <= total && total <= MAX_COUNT)
        .then_some((number, total))
}

fn may_go_on(error: &io::Error) {
    match error.kind() {
        // The deadline has come.
        ErrorKind::WouldBlock
        | ErrorKind::TimedOut
        | ErrorKind::Interrupted => {}
        _ => {
            log(format_args!("receive: {error}"));
            // An error that lasts must not turn the loop into a busy one.
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn now() -> Instant {
    Instant::now()
}

/// A timeout of zero would be an error.
fn time_left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(now())
        .max(Duration::from_millis(1))
}

/// Writes a line to the log. `eprintln!` would end the program with a panic
/// when the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
