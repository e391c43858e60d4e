//! What `cargo book bench` writes down, and figures are drawn from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The server that all others are compared with.
pub const BASE: &str = "epoll_server.c";

/// One run of the whole bench.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// The day, as in 2026-11-24.
    pub date: String,
    pub machine: Machine,
    /// Of compilers, crates and Python, by name.
    pub versions: BTreeMap<String, String>,
    pub rounds: usize,
    /// How long each run was counted.
    pub seconds: f64,
    pub workloads: Vec<Workload>,
    /// System calls of servers under the workload `pingpong-100`, counted by strace.
    pub calls: Vec<Calls>,
    /// Where servers spend their time under the same workload, sampled by perf.
    #[serde(default)]
    pub profiles: Vec<Profile>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    /// The congestion control that servers get unless they ask for another.
    pub congestion_control: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    pub name: String,
    /// In words, for a title.
    pub about: String,
    /// What `load` is given after the address.
    pub arguments: String,
    /// In the order in which they were made.
    pub runs: Vec<Run>,
    pub skipped: Vec<Skipped>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub server: String,
    pub round: usize,
    pub measured: Measured,
}

/// What `load` says of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    pub answers: u64,
    pub total: u64,
    pub errors: u64,
    pub per_second: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// Of the generator; seconds of CPU time in a second.
    pub cpu: f64,
    pub cpu_system: f64,
    pub server_cpu: f64,
    /// The part of it that is the kernel's.
    pub server_cpu_system: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_idle_cpu: Option<f64>,
    /// Memory a connection, while all are silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_bytes_each: Option<f64>,
    /// How late the generator was itself, where it sends by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_p99_us: Option<f64>,
}

/// A server that does not take part in a workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Skipped {
    pub server: String,
    pub why: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Calls {
    pub server: String,
    pub messages: u64,
    /// How many of each, by name.
    pub calls: BTreeMap<String, u64>,
}

/// Parts of a server's CPU time, in percent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Profile {
    pub server: String,
    /// In the kernel, from `tcp_sendmsg` and `tcp_recvmsg` on.
    pub tcp: f64,
    /// In the kernel, all of it.
    pub kernel: f64,
}

/// The middle of several runs, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    /// `None` without a value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Spread {
            least,
            median,
            most,
        })
    }
}

impl Workload {
    /// Of all runs of a server.
    pub fn spread(&self, server: &str, value: impl Fn(&Measured) -> Option<f64>) -> Option<Spread> {
        let runs = self.runs.iter().filter(|run| run.server == server);
        Spread::of(runs.filter_map(|run| value(&run.measured)))
    }

    /// The servers that were measured, in the order of the first round.
    pub fn servers(&self) -> Vec<&str> {
        let mut servers: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !servers.contains(&run.server.as_str()) {
                servers.push(&run.server);
            }
        }
        servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_two() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[]), None);
        let three = spread(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((three.least, three.median, three.most), (1.0, 2.0, 3.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }
}
