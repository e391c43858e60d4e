//! The command line.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// A connection sends when its answer is there.
    PingPong,
    /// Messages are sent by the clock, whatever happens.
    Open,
    /// Connect, one message, close.
    Connects,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Workload::PingPong => "ping-pong",
            Workload::Open => "open",
            Workload::Connects => "connects",
        }
    }
}

// ANCHOR: options
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub addr: SocketAddr,
    pub workload: Workload,
    /// How many there are at once.
    pub connections: usize,
    /// How many of them speak. The others are held, and silent.
    pub active: usize,
    /// Of a message, in bytes.
    pub size: usize,
    /// Messages a second on all connections together, for `open`.
    pub rate: f64,
    /// Before anything is counted.
    pub warm_up: Duration,
    /// How long is counted.
    pub length: Duration,
    /// How long all are silent before they begin.
    pub idle: Duration,
    /// The core to run on.
    pub core: Option<usize>,
    /// The process of the server, whose CPU time and memory are read.
    pub server: Option<u32>,
}
// ANCHOR_END: options

const USAGE: &str = "usage: load ADDR ping-pong|open|connects \
    [--connections N] [--active N] [--size BYTES] [--rate PER_SECOND] \
    [--warm-up SECONDS] [--seconds SECONDS] [--idle SECONDS] [--core N] \
    [--server PID]";

impl Options {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Options> {
        let mut args = args;
        let addr = args.next().context(USAGE)?;
        let workload = args.next().context(USAGE)?;
        let mut options = Options {
            addr: addr
                .parse()
                .with_context(|| format!("{addr} as an address"))?,
            workload: match workload.as_str() {
                "ping-pong" => Workload::PingPong,
                "open" => Workload::Open,
                "connects" => Workload::Connects,
                other => bail!("there is no workload {other}; {USAGE}"),
            },
            connections: 1,
            active: 0,
            size: 64,
            rate: 1000.0,
            warm_up: Duration::from_millis(500),
            length: Duration::from_secs(3),
            idle: Duration::ZERO,
            core: None,
            server: None,
        };
        while let Some(flag) = args.next() {
            let flag = flag.as_str();
            match flag {
                "--connections" => {
                    options.connections = number(flag, args.next())?
                }
                "--active" => options.active = number(flag, args.next())?,
                "--size" => options.size = number(flag, args.next())?,
                "--rate" => options.rate = number(flag, args.next())?,
                "--warm-up" => options.warm_up = seconds(flag, args.next())?,
                "--seconds" => options.length = seconds(flag, args.next())?,
                "--idle" => options.idle = seconds(flag, args.next())?,
                "--core" => options.core = Some(number(flag, args.next())?),
                "--server" => options.server = Some(number(flag, args.next())?),
                other => bail!("unknown argument {other}; {USAGE}"),
            }
        }
        if options.active == 0 {
            options.active = options.connections;
        }
        ensure!(
            (1..=1_000_000).contains(&options.connections),
            "--connections wants a number from 1 to 1000000"
        );
        ensure!(
            options.active <= options.connections,
            "--active can't be more than --connections"
        );
        let longest = match options.workload {
            // One that fits into a buffer of the kernel, however small.
            Workload::Connects => 2048,
            _ => load::pattern::LONGEST,
        };
        ensure!(
            (1..=longest).contains(&options.size),
            "--size wants a number from 1 to {longest}"
        );
        ensure!(
            options.rate.is_finite() && options.rate > 0.0,
            "--rate wants a number above 0"
        );
        ensure!(
            !options.length.is_zero(),
            "--seconds wants a number above 0"
        );
        Ok(options)
    }
}

fn number<T: FromStr>(flag: &str, value: Option<String>) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let value = value.with_context(|| format!("{flag} wants a number"))?;
    value
        .parse()
        .with_context(|| format!("{flag} wants a number, not {value}"))
}

fn seconds(flag: &str, value: Option<String>) -> Result<Duration> {
    let seconds = number::<f64>(flag, value)?;
    ensure!(
        (0.0..=86_400.0).contains(&seconds),
        "{flag} wants seconds, from 0 to 86400"
    );
    Ok(Duration::from_secs_f64(seconds))
}
