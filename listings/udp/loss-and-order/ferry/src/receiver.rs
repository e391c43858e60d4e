//! The side that gets the file.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ferry::datagram::{
    BLOCK, Datagram, MAX_LENGTH, Message, Reason, crc32, last_block,
};
use ferry::sender::MAX_TIME;

/// How long a transfer may be silent, and how long a finished one is
/// remembered. Both are longer than a sender tries: 12 times, at most 4 s each.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How many finished transfers are remembered.
const MAX_FINISHED: usize = 1024;

// ANCHOR: receiver
/// Receives files, one at a time, from anybody.
#[derive(Default)]
pub struct Receiver {
    current: Option<Transfer>,
    finished: VecDeque<Finished>,
}

struct Transfer {
    peer: SocketAddr,
    id: u64,
    length: usize,
    checksum: u32,
    /// Grows with what arrives, not with what was announced.
    file: Vec<u8>,
    number: u32,
    storing: bool,
    started: Instant,
    heard: Instant,
}

/// What is left of a transfer: enough to acknowledge its last block again.
struct Finished {
    peer: SocketAddr,
    id: u64,
    last: u32,
    until: Instant,
}

// ANCHOR_END: receiver

/// What the program has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this to where the datagram came from.
    Reply(Vec<u8>),
    /// The file is whole. Store it, then call `stored` or `not_stored`.
    Store(Vec<u8>),
    Ignore,
}

// ANCHOR: events
impl Receiver {
    /// A datagram came from `peer`. Call `on_deadline` first.
    pub fn on_datagram(
        &mut self,
        peer: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Step {
        let Some(Datagram { transfer, message }) = Datagram::decode(bytes)
        else {
            return Step::Ignore;
        };
        let ours = |id, of| (id, of) == (transfer, peer);
        // Our last acknowledgment may have been lost: say it again.
        if let Some(done) =
            self.finished.iter().find(|done| ours(done.id, done.peer))
        {
            return match message {
                Message::Offer { .. } | Message::Block { .. } => {
                    acknowledge(transfer, done.last)
                }
                Message::Ack { .. } | Message::Refuse(_) => Step::Ignore,
            };
        }
        let current = self.current.as_mut();
        let busy = current.is_some();
        match (message, current.filter(|it| ours(it.id, it.peer))) {
            (Message::Offer { .. }, Some(current)) => {
                current.heard = now;
                self.acknowledge()
            }
            (Message::Block { number, payload }, Some(current)) => {
                current.heard = now;
                if current.take(number, payload) {
                    self.acknowledge()
                } else {
                    Step::Ignore
                }
            }
            (Message::Offer { .. }, None) if busy => {
                refuse(transfer, Reason::Busy)
            }
            (Message::Offer { length, checksum }, None) => {
                self.begin(peer, transfer, length as usize, checksum, now)
            }
            (Message::Block { .. }, None) => refuse(transfer, Reason::Unknown),
            (Message::Ack { .. } | Message::Refuse(_), _) => Step::Ignore,
        }
    }
    // ANCHOR_END: events

    fn begin(
        &mut self,
        peer: SocketAddr,
        id: u64,
        length: usize,
        checksum: u32,
        now: Instant,
    ) -> Step {
        if length > MAX_LENGTH {
            return refuse(id, Reason::TooLong);
        }
        self.current = Some(Transfer {
            peer,
            id,
            length,
            checksum,
            file: Vec::new(),
            number: 0,
            storing: false,
            started: now,
            heard: now,
        });
        self.acknowledge()
    }

    // ANCHOR: acknowledge
    /// Acknowledges what is there. The last number has to wait until the file
    /// is whole, right and stored.
    fn acknowledge(&mut self) -> Step {
        let Some(current) = &mut self.current else {
            return Step::Ignore;
        };
        let id = current.id;
        if current.number < last_block(current.length) {
            return acknowledge(id, current.number);
        }
        if current.storing {
            return Step::Ignore; // `stored` will answer
        }
        if crc32(&current.file) != current.checksum {
            self.current = None;
            return refuse(id, Reason::Damaged);
        }
        current.storing = true;
        Step::Store(std::mem::take(&mut current.file))
    }
    // ANCHOR_END: acknowledge

    // ANCHOR: end
    /// The file is stored: the last acknowledgment.
    pub fn stored(&mut self, now: Instant) -> Option<Vec<u8>> {
        let done = self.current.take()?;
        if self.finished.len() >= MAX_FINISHED {
            self.finished.pop_front();
        }
        let last = done.number;
        self.finished.push_back(Finished {
            peer: done.peer,
            id: done.id,
            last,
            until: now + PATIENCE,
        });
        Some(answer(done.id, Message::Ack { number: last }))
    }
    // ANCHOR_END: end

    /// The file could not be stored.
    pub fn not_stored(&mut self) -> Option<Vec<u8>> {
        let done = self.current.take()?;
        Some(answer(done.id, Message::Refuse(Reason::NotStored)))
    }

    /// When `on_deadline` has to be called, if nothing arrives before.
    pub fn deadline(&self) -> Option<Instant> {
        let current = self.current.as_ref().map(Transfer::deadline);
        // They end in the order in which they were added.
        let finished = self.finished.front().map(|done| done.until);
        current.into_iter().chain(finished).min()
    }

    /// Forgets what is over. Returns the peer of a transfer that was given up.
    pub fn on_deadline(&mut self, now: Instant) -> Option<SocketAddr> {
        while self.finished.front().is_some_and(|done| done.until <= now) {
            self.finished.pop_front();
        }
        let current = self.current.take_if(|it| it.deadline() <= now);
        current.map(|it| it.peer)
    }
}

// ANCHOR: take
impl Transfer {
    /// Takes a block if it is the next one. `false` if it deserves no answer.
    fn take(&mut self, number: u32, payload: &[u8]) -> bool {
        if number <= self.number {
            return true; // we have it: acknowledged again, not taken again
        }
        let left = self.length - self.file.len();
        let next = number == self.number + 1;
        if !next || payload.len() != left.min(BLOCK) {
            return false; // no sender of ours sends that
        }
        self.file.extend(payload);
        self.number = number;
        true
    }
}
// ANCHOR_END: take

impl Transfer {
    fn deadline(&self) -> Instant {
        (self.heard + PATIENCE).min(self.started + MAX_TIME)
    }
}

fn acknowledge(id: u64, number: u32) -> Step {
    Step::Reply(answer(id, Message::Ack { number }))
}

fn refuse(id: u64, reason: Reason) -> Step {
    Step::Reply(answer(id, Message::Refuse(reason)))
}

fn answer(transfer: u64, message: Message<'_>) -> Vec<u8> {
    Datagram { transfer, message }.encode()
}
