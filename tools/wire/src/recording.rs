//! What was said and what crossed the link, with times.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One run of a scene. On disk it is a file of lines, each a JSON object: first the head, then the events.
#[derive(Debug, Clone)]
pub struct Recording {
    pub head: Head,
    /// In the order of their times.
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    /// What happens, in a sentence.
    pub about: String,
    /// What it is called in a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A digest of the scene's file.
    pub scene: String,
    /// Such as `6.12.48`.
    pub kernel: String,
    /// The moment that all times count from, in microseconds since 1970: every server was ready.
    pub zero_us: u64,
    /// How often the scene was run for this, and how many of the runs had this ladder.
    pub runs: usize,
    pub same: usize,
    pub hosts: Vec<HostHead>,
    pub link: LinkHead,
    pub programs: Vec<ProgramHead>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostHead {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    /// Whether the kernel chooses between several ports for the ends of its clients.
    pub many_ports: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkHead {
    pub delay_us: u64,
    /// Bits a second.
    pub rate: u64,
    pub mtu: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgramHead {
    /// An index into the hosts.
    pub host: usize,
    /// As a reader would type it.
    pub command: String,
    pub serves: bool,
    pub numbers_vary: bool,
    pub calls: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    pub aside: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds from zero; what servers do before it is negative.
    pub at_us: i64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A host gave a packet to its line.
    Packet {
        /// An index into the hosts.
        from: usize,
        fate: Fate,
        /// Where it came out, and when; twice if it was doubled, nowhere if it was lost.
        arrivals: Vec<Arrival>,
        /// From the first byte of the IP header.
        #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
        bytes: Vec<u8>,
        /// How many bytes it had, if these are only the first of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<usize>,
    },
    Start {
        program: usize,
    },
    /// A line that a program printed, without its end.
    Line {
        program: usize,
        stream: Stream,
        text: String,
    },
    /// What a program was given on its standard input.
    Input {
        program: usize,
        text: String,
    },
    Signal {
        program: usize,
        name: String,
    },
    Exit {
        program: usize,
        /// Such as `exit status: 0`.
        status: String,
    },
    /// A TCP socket has got into a state, as the kernel says.
    State {
        /// An index into the hosts.
        host: usize,
        local: SocketAddr,
        remote: SocketAddr,
        state: State,
    },
    /// A system call about a socket, as `strace` shows it.
    Call {
        program: usize,
        name: String,
        arguments: String,
        result: String,
        end_us: i64,
    },
    /// A thread of a program begins.
    Thread {
        program: usize,
        /// By the order in which they began; 0 is the first.
        thread: usize,
        /// What it called itself.
        name: Option<String>,
        /// Without one, it was there to the end.
        end_us: Option<i64>,
    },
    /// A thread waits in a system call.
    Wait {
        program: usize,
        thread: usize,
        name: String,
        whom: Whom,
        result: String,
        /// Without one, it waited to the end.
        end_us: Option<i64>,
    },
    /// A thread makes calls about sockets in which it does not wait, from one wait to the next.
    Work {
        program: usize,
        thread: usize,
        calls: Vec<Did>,
        end_us: i64,
    },
}

/// Whom a system call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whom {
    /// The other end of a socket.
    Peer(SocketAddr),
    /// Whoever comes first: the call is about a listening socket, or about several at once.
    Anyone,
    /// Another thread.
    Thread,
    /// A moment.
    Time,
    /// Something that is no socket, such as a pipe.
    Other,
}

/// Calls of one name about one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Did {
    pub name: String,
    pub whom: Whom,
    pub count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    Out,
    Err,
}

/// The state of a TCP socket, by [RFC 9293, section 3.3.2](https://www.rfc-editor.org/rfc/rfc9293.html#section-3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum State {
    Established,
    SynSent,
    #[serde(rename = "SYN-RECEIVED")]
    SynReceived,
    #[serde(rename = "FIN-WAIT-1")]
    FinWait1,
    #[serde(rename = "FIN-WAIT-2")]
    FinWait2,
    TimeWait,
    /// It is gone.
    Closed,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

impl State {
    /// By the number that Linux gives it, in `include/net/tcp_states.h`.
    pub fn of_linux(number: u8) -> Option<State> {
        Some(match number {
            1 => State::Established,
            2 => State::SynSent,
            // 12 is a connection of which a listener has seen the SYN only.
            3 | 12 => State::SynReceived,
            4 => State::FinWait1,
            5 => State::FinWait2,
            6 => State::TimeWait,
            7 => State::Closed,
            8 => State::CloseWait,
            9 => State::LastAck,
            10 => State::Listen,
            11 => State::Closing,
            _ => return None,
        })
    }
}

impl fmt::Display for State {
    /// As the RFC writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Established => "ESTABLISHED",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::TimeWait => "TIME-WAIT",
            State::Closed => "CLOSED",
            State::CloseWait => "CLOSE-WAIT",
            State::LastAck => "LAST-ACK",
            State::Listen => "LISTEN",
            State::Closing => "CLOSING",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// An index into the hosts.
    pub host: usize,
    pub at_us: i64,
}

/// What became of a packet on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    Passed,
    /// The scene dropped it.
    Dropped,
    Doubled,
    Delayed,
    /// The link was cut.
    Cut,
    /// Too many packets waited for the line.
    QueueFull,
    /// No host has its destination.
    NoHost,
}

impl Fate {
    pub fn is_lost(self) -> bool {
        matches!(
            self,
            Fate::Dropped | Fate::Cut | Fate::QueueFull | Fate::NoHost
        )
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Passed => "passed",
            Fate::Dropped => "lost",
            Fate::Doubled => "doubled",
            Fate::Delayed => "delayed",
            Fate::Cut => "lost: the link is cut",
            Fate::QueueFull => "lost: the queue is full",
            Fate::NoHost => "lost: nobody has this address",
        })
    }
}

impl Recording {
    /// Reads a recording's file of JSON lines.
    pub fn load(path: &Path) -> Result<Recording> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("read the recording {}", path.display()))?;
        Recording::parse(&text).with_context(|| format!("read the recording {}", path.display()))
    }

    /// Whether a host sent or received anything, so that its capture holds a packet.
    pub fn is_on_wire(&self, host: usize) -> bool {
        self.events.iter().any(|event| match &event.what {
            What::Packet { from, arrivals, .. } => {
                *from == host || arrivals.iter().any(|arrival| arrival.host == host)
            }
            _ => false,
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Recording> {
        let mut lines = text.lines().enumerate();
        let Some((_, first)) = lines.next() else {
            bail!("it is empty");
        };
        let head: Head = serde_json::from_str(first).context("line 1")?;
        let mut events = Vec::new();
        for (index, line) in lines {
            let event: Event =
                serde_json::from_str(line).with_context(|| format!("line {}", index + 1))?;
            head.check(&event.what)
                .with_context(|| format!("line {}", index + 1))?;
            events.push(event);
        }
        Ok(Recording { head, events })
    }

    pub(crate) fn write(&self, output: &mut impl Write) -> Result<()> {
        serde_json::to_writer(&mut *output, &self.head)?;
        for event in &self.events {
            output.write_all(b"\n")?;
            serde_json::to_writer(&mut *output, event)?;
        }
        output.write_all(b"\n")?;
        Ok(())
    }
}

impl Head {
    /// Indices that name no host or program would be a panic later.
    fn check(&self, what: &What) -> Result<()> {
        let host = |index: usize| match index < self.hosts.len() {
            true => Ok(()),
            false => bail!("there is no host {index}"),
        };
        match what {
            What::Packet { from, arrivals, .. } => {
                host(*from)?;
                arrivals.iter().try_for_each(|arrival| host(arrival.host))
            }
            What::State { host: at, .. } => host(*at),
            What::Start { program }
            | What::Line { program, .. }
            | What::Input { program, .. }
            | What::Signal { program, .. }
            | What::Exit { program, .. }
            | What::Call { program, .. }
            | What::Thread { program, .. }
            | What::Wait { program, .. }
            | What::Work { program, .. } => match self.programs.get(*program) {
                Some(program) => host(program.host),
                None => bail!("there is no program {program}"),
            },
        }
    }
}

fn to_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(bytes))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map_err(|error| {
            de::Error::custom(format_args!(
                "a packet's bytes are not pairs of hexadecimal digits: {error}"
            ))
        })
}
