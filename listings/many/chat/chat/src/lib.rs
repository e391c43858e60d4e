//! What both chat servers have in common. Nothing in here waits or does I/O.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

// ANCHOR: limits
/// The longest line, in bytes, and the longest name, in characters.
pub const LONGEST: usize = 512;
pub const NAME: usize = 16;

/// How many lines wait for a member at most, and how many bytes in the kernel
/// behind them. Linux doubles the second number.
pub const QUEUE: usize = 512;
pub const KERNEL: usize = 8 * 1024;

/// A member may say a line each 100 ms, and ten at once after a rest.
pub const EACH: Duration = Duration::from_millis(100);
pub const BURST: u32 = 10;

/// How many connections without a name there may be beside the members.
pub const LOBBY: usize = 16;

/// How long what waits for a member may take once it has to leave, if nobody
/// says.
pub const GRACE: Duration = Duration::from_secs(5);
// ANCHOR_END: limits

/// Why a member leaves.
pub const SLOW: &str = "reads too slowly";
pub const LOST: &str = "connection lost";
pub const HUNG_UP: &str = "hung up";
pub const LATE: &str = "no name in time";
pub const ENDS: &str = "the server ends";

/// A time that somebody has written as an argument.
pub fn milliseconds(text: &str) -> Result<Duration> {
    let milliseconds: NonZeroU32 = text
        .parse()
        .with_context(|| format!("{text} as a number of milliseconds"))?;
    Ok(Duration::from_millis(milliseconds.get().into()))
}

// ANCHOR: members
/// A line is stored once, for however many members it waits.
pub type Line = Arc<str>;

/// Who is here. Whoever has its lock never waits for a peer.
pub struct Room<Q> {
    pub open: bool,
    pub places: usize,
    pub grace: Duration,
    pub served: u64,
    members: BTreeMap<u64, Member<Q>>,
}

struct Member<Q> {
    name: String,
    queue: Q,
    ending: Arc<OnceLock<Ending>>,
}

/// Why a member has left, and until when the last lines may be sent.
pub struct Ending {
    pub why: String,
    pub by: Instant,
}

/// The sending half of a channel with a bound.
pub trait Queue {
    /// Puts a line in, or says that there is no room. Never waits.
    fn offer(&self, line: Line) -> bool;
}
// ANCHOR_END: members

impl Queue for SyncSender<Line> {
    fn offer(&self, line: Line) -> bool {
        self.try_send(line).is_ok()
    }
}

impl Queue for tokio::sync::mpsc::Sender<Line> {
    fn offer(&self, line: Line) -> bool {
        self.try_send(line).is_ok()
    }
}

/// Who has joined: its id in the room, its name, and how it will end.
pub type Joined = (u64, String, Arc<OnceLock<Ending>>);

impl<Q: Queue> Room<Q> {
    pub fn new(places: usize, grace: Duration) -> Room<Q> {
        Room {
            open: true,
            places,
            grace,
            served: 0,
            members: BTreeMap::new(),
        }
    }

    // ANCHOR: join
    /// Lets somebody in. The error is what to say to who stays outside.
    pub fn join(
        &mut self,
        name: Result<String, String>,
        queue: Q,
    ) -> Result<Joined, String> {
        if !self.open {
            return Err(ENDS.to_string());
        }
        let name = name?;
        let allowed = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if !(1..=NAME).contains(&name.chars().count())
            || !name.chars().all(allowed)
        {
            return Err(format!("a name is 1 to {NAME} letters and digits"));
        }
        if self.members.len() == self.places {
            return Err("the room is full".to_string());
        }
        let names = self.members.values().map(|member| &*member.name);
        let mut here: Vec<&str> = names.collect();
        if here.contains(&&*name) {
            return Err(format!("the name {name} is taken"));
        }
        here.push(&name);
        let here = format!("* here: {}\n", here.join(", "));
        queue.offer(here.into()); // it is empty: there is room
        let ending = Arc::new(OnceLock::new());
        let member = Member {
            name: name.clone(),
            queue,
            ending: ending.clone(),
        };
        self.served += 1;
        let id = self.served;
        self.members.insert(id, member);
        self.tell(id, format!("* {name} joined\n"));
        Ok((id, name, ending))
    }
    // ANCHOR_END: join

    // ANCHOR: tell
    /// Whether the member is still one.
    pub fn say(&mut self, id: u64, text: &str) -> bool {
        let Some(member) = self.members.get(&id) else {
            return false;
        };
        let line = format!("{}: {text}\n", member.name);
        self.tell(id, line);
        true
    }

    pub fn leave(&mut self, id: u64, why: &str) {
        if let Some(member) = self.members.remove(&id) {
            let line = format!("* {} left: {why}\n", member.name);
            member.end(why, self.grace);
            self.tell(id, line);
        }
    }

    /// Says goodbye to everybody.
    pub fn close(&mut self) {
        self.open = false;
        for member in std::mem::take(&mut self.members).into_values() {
            member.end(ENDS, self.grace);
        }
    }

    /// Puts a line into every queue but one. Who has no room for it leaves.
    fn tell(&mut self, from: u64, line: String) {
        let mut from = Some(from);
        let mut news = VecDeque::from([line]);
        while let Some(line) = news.pop_front() {
            let line: Line = line.into();
            let from = from.take(); // the news of others are for all
            let mut slow = Vec::new();
            for (&id, member) in &self.members {
                if from != Some(id) && !member.queue.offer(line.clone()) {
                    slow.push(id);
                }
            }
            for id in slow {
                if let Some(member) = self.members.remove(&id) {
                    news.push_back(format!("* {} left: {SLOW}\n", member.name));
                    member.end(SLOW, self.grace);
                }
            }
        }
    }
}

// ANCHOR_END: tell

impl<Q> Member<Q> {
    /// Drops the queue: its writer sends what is in there, and ends.
    fn end(self, why: &str, grace: Duration) {
        let by = Instant::now() + grace;
        let why = why.to_string();
        let _ = self.ending.set(Ending { why, by });
    }
}

// ANCHOR: lines
/// Takes bytes as they come, and gives them back as lines.
#[derive(Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next line, clean; nothing as long as it has not come whole.
    pub fn next_line(&mut self) -> Option<Result<String, String>> {
        let end = self.0.iter().position(|&byte| byte == b'\n');
        if end.unwrap_or(self.0.len()) > LONGEST {
            return Some(Err(format!("a line of more than {LONGEST} bytes")));
        }
        let line = clean(&self.0[..end?]);
        self.0.drain(..=end?);
        Some(Ok(line))
    }
}

/// Text that is safe on a terminal: whatever is no character, or no visible
/// one, becomes a �.
pub fn clean(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let hidden = |c: char| {
        c.is_control() // such as ESC, with which commands begin
            || matches!(c, '\u{2028}' | '\u{2029}') // end a line
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    String::from_utf8_lossy(line)
        .chars()
        .map(|c| if hidden(c) { '�' } else { c })
        .collect()
}

/// From when on the next line is due, were there no rest before.
pub struct Pace(Instant);

impl Pace {
    pub fn start() -> Pace {
        Pace(Instant::now())
    }

    /// How long the next line has to wait.
    pub fn wait(&mut self) -> Duration {
        let now = Instant::now();
        self.0 = self.0.max(now) + EACH;
        self.0.saturating_duration_since(now + EACH * BURST)
    }
}
// ANCHOR_END: lines
