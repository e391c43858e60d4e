//! What is measured: answers, how late they came, CPU time, memory.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use load::options::Options;

/// A process, as the kernel counts what it uses. We are `self`.
#[derive(Debug, Clone)]
pub struct Process(String);

// ANCHOR: process
impl Process {
    pub fn own() -> Process {
        Process("self".to_string())
    }

    pub fn of(id: u32) -> Process {
        Process(id.to_string())
    }

    /// The CPU time of all its threads, those that have ended too: its own
    /// code, and the kernel's work for it.
    pub fn cpu(&self) -> Result<[Duration; 2]> {
        let path = format!("/proc/{}/stat", self.0);
        let stat = fs::read_to_string(&path)
            .with_context(|| format!("read {path}"))?;
        // The second field is the name, which may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("no name in it")?;
        let mut fields = rest.split_whitespace().skip(11);
        let mut ticks = || -> Result<u64> {
            Ok(fields.next().context("no time in it")?.parse()?)
        };
        // Linux tells programs the time in hundredths, on every machine.
        let [user, system] = [ticks()?, ticks()?];
        Ok([user, system].map(|ticks| Duration::from_millis(10 * ticks)))
    }

    /// The memory that it has in use, in bytes. It is counted anew, page by
    /// page; `VmRSS` of `status` may be off by some pages a core.
    pub fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.0);
        let smaps = fs::read_to_string(&path)
            .with_context(|| format!("read {path}"))?;
        let kilobytes = smaps
            .lines()
            .find_map(|line| line.strip_prefix("Rss:"))
            .and_then(|rest| rest.split_whitespace().next())
            .context("no memory in it")?;
        Ok(1024 * kilobytes.parse::<u64>()?)
    }
}
// ANCHOR_END: process

/// The time in which everything is counted, and what was.
pub struct Window {
    begin: Instant,
    end: Instant,
    own: Meter,
    server: Option<Meter>,
    latency: Histogram<u64>,
    answers: u64,
}

impl Window {
    pub fn new(options: &Options) -> Result<Window> {
        let begin = Instant::now() + options.warm_up;
        Ok(Window {
            begin,
            end: begin + options.length,
            own: Meter::new(Process::own()),
            server: options.server.map(|id| Meter::new(Process::of(id))),
            latency: histogram()?,
            answers: 0,
        })
    }

    /// When the warm-up begins that comes before the window.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// Reads the clocks of the processes at both ends. Says whether the time
    /// is over.
    pub fn is_over(&mut self, now: Instant) -> Result<bool> {
        let over = now >= self.end;
        if now >= self.begin {
            self.own.read(now, over)?;
            if let Some(server) = &mut self.server {
                server.read(now, over)?;
            }
        }
        Ok(over)
    }

    // ANCHOR: record
    /// Notes an answer that has come `now` to what was begun, or should have
    /// been begun, at `begun`.
    pub fn record(&mut self, begun: Instant, now: Instant) {
        if now >= self.begin && now < self.end {
            self.answers += 1;
        }
        if begun >= self.begin && begun < self.end {
            let nanoseconds = (now - begun).as_nanos() as u64;
            self.latency.saturating_record(nanoseconds);
        }
    }
    // ANCHOR_END: record

    pub fn report(self) -> Report {
        Report {
            answers: self.answers,
            seconds: (self.end - self.begin).as_secs_f64(),
            latency: self.latency,
            late: None,
            total: 0,
            errors: 0,
            cpu: self.own.share(),
            server_cpu: self.server.and_then(|meter| meter.share()),
            idle: None,
        }
    }
}

/// Up to a minute, with three digits.
pub fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).context("make a histogram")
}

/// How much CPU time a process uses between two moments.
struct Meter {
    process: Process,
    first: Option<(Instant, [Duration; 2])>,
    last: Option<(Instant, [Duration; 2])>,
}

impl Meter {
    fn new(process: Process) -> Meter {
        Meter {
            process,
            first: None,
            last: None,
        }
    }

    fn read(&mut self, now: Instant, over: bool) -> Result<()> {
        if self.first.is_none() {
            self.first = Some((now, self.process.cpu()?));
        } else if over && self.last.is_none() {
            self.last = Some((now, self.process.cpu()?));
        }
        Ok(())
    }

    /// Seconds of CPU time in a second, in all and in the kernel.
    fn share(&self) -> Option<Share> {
        let ((from, before), (to, after)) = (self.first?, self.last?);
        let of = |part: usize| {
            (after[part] - before[part]).as_secs_f64()
                / (to - from).as_secs_f64()
        };
        Some(Share {
            all: of(0) + of(1),
            system: of(1),
        })
    }
}

/// Seconds of CPU time in a second.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub all: f64,
    /// The kernel's work.
    pub system: f64,
}

/// What the server uses while all connections are silent.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// Seconds of CPU time in a second.
    pub cpu: f64,
    /// Bytes of memory, less those that it had before they came.
    pub memory: i64,
}

/// All that was measured.
#[derive(Debug, Clone)]
pub struct Report {
    pub answers: u64,
    pub seconds: f64,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    /// How late we were ourselves with what was to be sent by the clock.
    pub late: Option<Histogram<u64>>,
    /// All messages that were answered, with those that were not counted.
    pub total: u64,
    pub errors: u64,
    pub cpu: Option<Share>,
    pub server_cpu: Option<Share>,
    pub idle: Option<Idle>,
}

impl Report {
    /// One line.
    pub fn json(&self, options: &Options) -> String {
        let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let mut fields = vec![
            format!("\"workload\":\"{}\"", options.workload.name()),
            format!("\"connections\":{}", options.connections),
            format!("\"active\":{}", options.active),
            format!("\"size\":{}", options.size),
            format!("\"seconds\":{:.3}", self.seconds),
            format!("\"answers\":{}", self.answers),
            format!("\"per_second\":{:.1}", self.answers as f64 / self.seconds),
            format!("\"max_us\":{:.1}", us(self.latency.max())),
            format!("\"errors\":{}", self.errors),
            format!("\"total\":{}", self.total),
        ];
        for (name, quantile) in
            [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)]
        {
            let value = us(self.latency.value_at_quantile(quantile));
            fields.push(format!("\"{name}_us\":{value:.1}"));
        }
        if let Some(late) = &self.late {
            let value = us(late.value_at_quantile(0.99));
            fields.push(format!("\"late_p99_us\":{value:.1}"));
        }
        let shares = [("cpu", self.cpu), ("server_cpu", self.server_cpu)];
        for (name, share) in shares {
            if let Some(share) = share {
                fields.push(format!("\"{name}\":{:.3}", share.all));
                fields.push(format!("\"{name}_system\":{:.3}", share.system));
            }
        }
        if let Some(idle) = &self.idle {
            let each = idle.memory as f64 / options.connections as f64;
            fields.push(format!("\"server_idle_cpu\":{:.3}", idle.cpu));
            fields.push(format!("\"server_bytes_each\":{each:.0}"));
        }
        format!("{{{}}}", fields.join(","))
    }
}
