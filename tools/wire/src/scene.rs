//! A scene: which programs run on which host, what lies between the hosts, and what goes wrong on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

/// A scene as its TOML file says it. Unknown keys are errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// One sentence: what happens.
    pub about: String,
    /// A few words that tell it from others in a table.
    pub label: Option<String>,
    /// How long the programs may take in all; longer is an error.
    #[serde(default = "Scene::limit", deserialize_with = "duration")]
    pub limit: Duration,
    /// How long the link must be silent at the end, so that nothing is cut off.
    #[serde(default = "Scene::settle", deserialize_with = "duration")]
    pub settle: Duration,
    /// Ends the scene at this time, whoever still runs. Without it, the end of the last program that does not
    /// serve is the end.
    #[serde(default, deserialize_with = "some_duration")]
    pub ends: Option<Duration>,
    /// Why runs differ by nature. Then the ladder is not compared, only what is expected below.
    pub races: Option<String>,
    /// How many bytes of each packet are kept, counted from its IP header; without it, all.
    pub snap: Option<usize>,
    pub host: Vec<Host>,
    #[serde(default)]
    pub link: Link,
    #[serde(default)]
    pub fault: Vec<Fault>,
    #[serde(default)]
    pub cut: Vec<Cut>,
    pub program: Vec<Program>,
    #[serde(default)]
    pub expect: Vec<Expect>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    pub name: String,
    /// Without any, the host gets `10.0.0.N`, by its place in the file.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Lines for the host's `/etc/hosts`: a name and its addresses, in the order in which they are to be found.
    #[serde(default)]
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// The host's name server. Without it, no name but those above can be looked up.
    pub resolver: Option<IpAddr>,
    /// From how many ports the kernel chooses one for a client. With more than one, they are not compared.
    #[serde(default = "one")]
    pub ports: u16,
    /// Kernel settings below `/proc/sys/net/`, such as `"ipv4/tcp_syn_retries" = "2"`.
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
    /// Whether the states of its TCP sockets are read from the kernel, all the time, and written down.
    #[serde(default)]
    pub states: bool,
}

/// What every host's packets cross: each host has a line of its own into it, with its own queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// From the moment a packet is on the line to its arrival.
    #[serde(deserialize_with = "duration")]
    pub delay: Duration,
    /// Bits a second.
    #[serde(deserialize_with = "rate")]
    pub rate: u64,
    /// The largest packet, in bytes.
    pub mtu: u16,
    /// How many packets may wait for the line; what comes then is lost.
    pub queue: usize,
    /// The share of packets that is lost, by chance.
    #[serde(deserialize_with = "share")]
    pub loss: f64,
    /// Which packets those are: the n-th of a host is lost or not by this number alone.
    pub seed: u64,
}

impl Default for Link {
    fn default() -> Link {
        Link {
            delay: Duration::from_millis(20),
            rate: 10_000_000,
            mtu: 1500,
            queue: 1000,
            loss: 0.0,
            seed: 1,
        }
    }
}

/// Something that happens to packets, chosen by sender, kind and number.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The host that sends them.
    pub from: String,
    pub packet: Kind,
    /// Which of them, counted from 1: `2`, `"2-4"` or `"2-"`. Without it, all.
    #[serde(default = "every", deserialize_with = "numbers")]
    pub number: RangeInclusive<u32>,
    #[serde(rename = "do")]
    pub act: Act,
    /// How much later, if `do` is `"delay"`.
    #[serde(default, deserialize_with = "some_duration")]
    pub by: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Any,
    /// The first segment of a handshake.
    Syn,
    /// The second.
    SynAck,
    /// A TCP segment that acknowledges and carries nothing else.
    Ack,
    /// A TCP segment or UDP datagram with payload.
    Data,
    Fin,
    Rst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    Drop,
    Double,
    Delay,
}

/// A time in which nothing gets through.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The host whose packets are lost. Without it, everybody's.
    pub from: Option<String>,
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    #[serde(default, deserialize_with = "some_duration")]
    pub until: Option<Duration>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    pub host: String,
    /// The program and its arguments. A name is looked for among the binaries of the workspace and then in
    /// `PATH`; a path is relative to the scene.
    pub run: Vec<String>,
    /// A server: it is started before the clock, waited for until it listens, and ended with the scene.
    #[serde(default)]
    pub serves: bool,
    /// A server is ready when it prints a line with this in it, instead of when it listens.
    pub ready: Option<String>,
    /// When it is started, if it is no server.
    #[serde(default, deserialize_with = "some_duration")]
    pub at: Option<Duration>,
    /// What it reads on its standard input, and when, counted from its start. The input ends after the last.
    #[serde(default)]
    pub input: Vec<Input>,
    #[serde(default)]
    pub signal: Vec<Signal>,
    /// An observer, such as `ss`: what it prints is not drawn beside the packets.
    #[serde(default)]
    pub aside: bool,
    /// Whether the program's socket calls are traced, for a figure that shows them. Needs `strace`.
    #[serde(default)]
    pub calls: bool,
    /// Whether it is traced what each of the program's threads waits for. Needs `strace`.
    #[serde(default)]
    pub waits: bool,
    /// Whether numbers in what it prints differ between runs: times, process ids.
    #[serde(default)]
    pub numbers_vary: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    pub text: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    #[serde(deserialize_with = "duration")]
    pub at: Duration,
    /// Such as `INT`, `TERM`, `STOP` or `CONT`.
    pub name: String,
}

/// What every run shows, even where runs differ: lines of the ladder, in this order, with others between them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub at: String,
    /// Each is a list of words that one line must contain.
    pub lines: Vec<String>,
}

/// An IPv6 header has 40 bytes, a TCP header at most 60.
const SNAP: usize = 100;

impl Scene {
    fn limit() -> Duration {
        Duration::from_secs(15)
    }

    /// Longer than the kernel's least retransmission timeout of 200 ms.
    fn settle() -> Duration {
        Duration::from_millis(300)
    }

    /// Reads a scene and checks it. The error names the file and, where there is one, the line.
    pub fn load(path: &Path) -> Result<Scene, SceneError> {
        let text = std::fs::read_to_string(path).map_err(|error| SceneError {
            file: path.display().to_string(),
            line: 0,
            message: format!("can't be read: {error}"),
        })?;
        Scene::parse(&text).map_err(|(line, message)| SceneError {
            file: path.display().to_string(),
            line,
            message,
        })
    }

    /// The error is a line, or 0, and a message.
    fn parse(text: &str) -> Result<Scene, (usize, String)> {
        let mut scene: Scene = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            (line, with_nearest(error.message()))
        })?;
        for (number, host) in (1..).zip(&mut scene.host) {
            if host.addresses.is_empty() {
                host.addresses = vec![Ipv4Addr::new(10, 0, 0, number).into()];
            }
        }
        scene.check().map_err(|(name, message)| {
            // The first line that has the name in it: near enough to find the rest.
            let line = text
                .lines()
                .position(|line| line.contains(&format!("\"{name}\"")))
                .map_or(0, |index| index + 1);
            (line, message)
        })?;
        Ok(scene)
    }

    /// What serde can't see. The error is the name that is wrong, and a message.
    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |name: &str, message: String| Err((name.to_string(), message));
        if self.host.is_empty() || self.program.is_empty() {
            return wrong("", "a scene needs a host and a program".to_string());
        }
        for (i, host) in self.host.iter().enumerate() {
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if host.name.is_empty() || !host.name.chars().all(word) {
                let message = format!(
                    "the host's name {:?} is not made of a-z, 0-9 and -",
                    host.name
                );
                return wrong(&host.name, message);
            }
            if self.host[..i].iter().any(|other| other.name == host.name) {
                return wrong(&host.name, format!("two hosts are called {:?}", host.name));
            }
            for address in &host.addresses {
                if self.host[..i]
                    .iter()
                    .any(|other| other.addresses.contains(address))
                {
                    return wrong(&host.name, format!("two hosts have the address {address}"));
                }
            }
        }
        let named = self.fault.iter().map(|fault| &fault.from);
        let named = named.chain(self.cut.iter().filter_map(|cut| cut.from.as_ref()));
        let named = named.chain(self.program.iter().map(|program| &program.host));
        for name in named.chain(self.expect.iter().map(|expect| &expect.at)) {
            if !self.host.iter().any(|host| host.name == *name) {
                let names = self.host.iter().map(|host| host.name.as_str());
                let nearest = nearest(name, names.clone()).map_or(String::new(), |nearest| {
                    format!("; did you mean {nearest:?}?")
                });
                let names: Vec<&str> = names.collect();
                let message = format!(
                    "there is no host {name:?}, only {}{nearest}",
                    names.join(", ")
                );
                return wrong(name, message);
            }
        }
        for fault in &self.fault {
            if (fault.act == Act::Delay) != fault.by.is_some() {
                let message = "a fault has `by` if and only if `do` is \"delay\"".to_string();
                return wrong("delay", message);
            }
        }
        for program in &self.program {
            let Some(name) = program.run.first() else {
                return wrong(&program.host, "`run` is empty".to_string());
            };
            if program.serves && program.at.is_some() {
                return wrong(name, format!("{name} serves, so it has no `at`"));
            }
            if !program.serves && program.ready.is_some() {
                return wrong(name, format!("{name} has `ready`, so it needs `serves`"));
            }
        }
        if self.ends.is_none() && self.program.iter().all(|program| program.serves) {
            return wrong(
                "",
                "every program serves, so the scene needs `ends`".to_string(),
            );
        }
        if self.snap.is_some_and(|snap| snap < SNAP) {
            let message = format!("`snap` is less than the {SNAP} bytes that headers can have");
            return wrong("", message);
        }
        if self.races.is_some() && self.expect.is_empty() {
            return wrong(
                "",
                "a scene that races needs an `expect`, or nothing is checked".to_string(),
            );
        }
        Ok(())
    }
}

/// What is wrong with a scene's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SceneError {
    pub file: String,
    /// Counted from 1; 0 means the file as a whole.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for SceneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for SceneError {}

/// Adds the nearest of the names that serde lists as expected.
fn with_nearest(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    let found = if message.starts_with("unknown") {
        nearest(unknown, names)
    } else {
        None
    };
    match found {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message.to_string(),
    }
}

fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(wrong.len()) / 2)
        .min()
        .map(|(_, name)| name)
}

fn one() -> u16 {
    1
}

fn every() -> RangeInclusive<u32> {
    1..=u32::MAX
}

/// Such as `"20ms"`, `"1.5s"` or `"250us"`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => f64::NAN,
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds).ok())
        .filter(|duration| *duration <= Duration::from_secs(3600))
        .ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is no time: write it like \"20ms\", \"1.5s\" or \"250us\", at most 3600s"
            ))
        })
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Such as `"10Mbit/s"`.
fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let units = [
        ("kbit/s", 1_000),
        ("Mbit/s", 1_000_000),
        ("Gbit/s", 1_000_000_000),
    ];
    units
        .iter()
        .find_map(|(unit, bits)| {
            let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(*bits).filter(|rate| *rate > 0)
        })
        .ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is no rate: write it like \"10Mbit/s\", with kbit/s, Mbit/s or Gbit/s"
            ))
        })
}

/// Such as `"5%"`.
fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.strip_suffix('%')
        .and_then(|number| number.trim().parse::<f64>().ok())
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is no share: write it like \"5%\", at most 100%"
            ))
        })
}

/// `2`, `"2-4"` or `"2-"`.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RangeInclusive<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Numbers {
        One(u32),
        Range(String),
    }
    let range = match Numbers::deserialize(deserializer)? {
        Numbers::One(number) => Some(number..=number),
        Numbers::Range(text) => text.split_once('-').and_then(|(first, last)| {
            let last = if last.is_empty() {
                u32::MAX
            } else {
                last.parse().ok()?
            };
            Some(first.parse().ok()?..=last)
        }),
    };
    range
        .filter(|range| *range.start() >= 1 && range.start() <= range.end())
        .ok_or_else(|| {
            de::Error::custom("no such number: write 2, \"2-4\" or \"2-\", counted from 1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
about = "One connects to the other."

[[host]]
name = "client"

[[host]]
name = "server"
sysctl = { "ipv4/tcp_syn_retries" = "2" }

[link]
delay = "5ms"

[[fault]]
from = "client"
packet = "syn"
number = 1
do = "drop"

[[program]]
host = "server"
run = ["echo-server", "10.0.0.2:7001"]
serves = true

[[program]]
host = "client"
run = ["echo-client", "10.0.0.2:7001"]
input = [{ at = "1.5s", text = "hello\n" }]
"#;

    #[test]
    fn a_scene_says_little_and_means_much() {
        let scene = Scene::parse(GOOD).unwrap();
        assert_eq!(
            scene.host[0].addresses,
            ["10.0.0.1".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(scene.link.delay, Duration::from_millis(5));
        assert_eq!(scene.link.rate, 10_000_000);
        assert_eq!(scene.fault[0].number, 1..=1);
        assert_eq!(scene.program[1].input[0].at, Duration::from_millis(1500));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (from, to, line, message) in [
            (
                "delay = ",
                "dely = ",
                12,
                "unknown field `dely`, expected one of `delay`, `rate`, `mtu`, `queue`, `loss`, `seed`; did you mean `delay`?",
            ),
            ("\"syn\"", "\"synn\"", 16, "did you mean `syn`?"),
            ("\"5ms\"", "\"5\"", 12, "\"5\" is no time"),
            (
                "delay = \"5ms\"",
                "loss = \"200%\"",
                12,
                "\"200%\" is no share",
            ),
            (
                "[[host]]",
                "snap = 40\n[[host]]",
                0,
                "less than the 100 bytes",
            ),
            ("number = 1", "number = 0", 17, "no such number"),
            (
                "from = \"client\"",
                "from = \"clint\"",
                15,
                "there is no host \"clint\", only client, server; did you mean \"client\"?",
            ),
            (
                "name = \"server\"",
                "name = \"client\"",
                5,
                "two hosts are called \"client\"",
            ),
            (
                "\"drop\"",
                "\"delay\"",
                18,
                "a fault has `by` if and only if",
            ),
            ("about", "abot", 2, "did you mean `about`?"),
            (
                "serves = true",
                "serves = true\nat = \"1s\"",
                22,
                "echo-server serves, so it has no `at`",
            ),
        ] {
            let (at, said) = Scene::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(said.contains(message), "{to}: {said}");
            assert_eq!(at, line, "{to}: {said}");
        }
    }

    #[test]
    fn a_scene_that_nobody_ends_is_refused() {
        let endless = GOOD.replace(
            r#"run = ["echo-client", "10.0.0.2:7001"]"#,
            "run = [\"x\"]\nserves = true",
        );
        let (_, said) = Scene::parse(&endless).unwrap_err();
        assert!(said.contains("needs `ends`"), "{said}");
    }
}
