//! The side that has the file.

use std::fmt;
use std::time::{Duration, Instant};

use ferry::datagram::{
    BLOCK, Datagram, MAX_LENGTH, Message, Reason, crc32, last_block,
};

// ANCHOR: limits
/// How often a datagram is sent before the sender gives up.
pub const TRIES: u32 = 12;

/// The timeout before the round trip has been measured, the least one, and the
/// longest one.
pub const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
pub const MIN_TIMEOUT: Duration = Duration::from_millis(200);
pub const MAX_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a transfer may take, however well it goes.
pub const MAX_TIME: Duration = Duration::from_secs(600);
// ANCHOR_END: limits

// ANCHOR: sender
/// Sends one file. At each moment one datagram is on its way: the offer, or
/// one of the blocks.
pub struct Sender {
    transfer: u64,
    file: Vec<u8>,
    /// What is on its way: 0 is the offer.
    number: u32,
    last: u32,
    tries: u32,
    max_tries: u32,
    sent_at: Instant,
    gives_up_at: Instant,
    timeout: Timeout,
    repeated: u64,
}
// ANCHOR_END: sender

// ANCHOR: step
/// What the program has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, and wait until the deadline.
    Send(Vec<u8>),
    /// Nothing new: wait on, until the same deadline.
    Wait,
    /// The receiver has stored the file, and said so.
    Delivered,
    Failed(Failure),
}
// ANCHOR_END: step

impl Sender {
    /// `transfer` must be new, and hard to guess.
    pub fn new(
        transfer: u64,
        file: Vec<u8>,
        now: Instant,
    ) -> Result<Sender, Failure> {
        Sender::with_tries(transfer, file, now, TRIES)
    }

    /// Gives up after another number of tries.
    pub fn with_tries(
        transfer: u64,
        file: Vec<u8>,
        now: Instant,
        max_tries: u32,
    ) -> Result<Sender, Failure> {
        if file.len() > MAX_LENGTH {
            return Err(Failure::Refused(Reason::TooLong));
        }
        Ok(Sender {
            transfer,
            last: last_block(file.len()),
            file,
            number: 0,
            tries: 0,
            max_tries,
            sent_at: now,
            gives_up_at: now + MAX_TIME,
            timeout: Timeout::new(),
            repeated: 0,
        })
    }

    /// The offer, which is the first datagram.
    pub fn start(&mut self, now: Instant) -> Step {
        self.send(now)
    }

    // ANCHOR: deadline
    /// When `on_deadline` has to be called, if nothing arrives before.
    pub fn deadline(&self) -> Instant {
        (self.sent_at + self.timeout.current).min(self.gives_up_at)
    }

    /// No acknowledgment came in time.
    pub fn on_deadline(&mut self, now: Instant) -> Step {
        if now < self.deadline() {
            return Step::Wait;
        }
        if self.tries >= self.max_tries || now >= self.gives_up_at {
            return self.failed();
        }
        self.timeout.back_off();
        self.repeated += 1;
        self.send(now)
    }
    // ANCHOR_END: deadline

    // ANCHOR: datagram
    /// A datagram came, perhaps from the receiver.
    pub fn on_datagram(&mut self, bytes: &[u8], now: Instant) -> Step {
        match Datagram::decode(bytes) {
            Some(datagram) if datagram.transfer == self.transfer => {
                match datagram.message {
                    Message::Ack { number } if number == self.number => {
                        self.acknowledged(now)
                    }
                    // A receiver that was started again knows nothing.
                    Message::Refuse(Reason::Unknown) => self.failed(),
                    Message::Refuse(reason) => {
                        Step::Failed(Failure::Refused(reason))
                    }
                    // An acknowledgment again: it was doubled, or answers
                    // what we have sent twice. It must not make us send.
                    _ => Step::Wait,
                }
            }
            _ => Step::Wait, // a stranger, or an earlier transfer
        }
    }
    // ANCHOR_END: datagram

    // ANCHOR: acknowledged
    fn acknowledged(&mut self, now: Instant) -> Step {
        // After a repetition, nobody knows which of the two it answers.
        if self.tries == 1 {
            self.timeout.measured(now - self.sent_at);
        }
        if self.number == self.last {
            return Step::Delivered;
        }
        self.number += 1;
        self.tries = 0;
        self.send(now)
    }
    // ANCHOR_END: acknowledged

    fn failed(&self) -> Step {
        Step::Failed(Failure::NotAcknowledged {
            number: self.number,
            last: self.last,
        })
    }

    // ANCHOR: send
    fn send(&mut self, now: Instant) -> Step {
        self.tries += 1;
        self.sent_at = now;
        let message = match self.number {
            0 => Message::Offer {
                length: self.file.len() as u32,
                checksum: crc32(&self.file),
            },
            number => {
                let start = (number as usize - 1) * BLOCK;
                let end = self.file.len().min(start + BLOCK);
                Message::Block {
                    number,
                    payload: &self.file[start..end],
                }
            }
        };
        let transfer = self.transfer;
        Step::Send(Datagram { transfer, message }.encode())
    }
    // ANCHOR_END: send

    /// How many datagrams were sent again.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// The number that waits for its acknowledgment, and how often it was sent.
    pub fn outstanding(&self) -> (u32, u32) {
        (self.number, self.tries)
    }

    /// In how many blocks the file travels.
    pub fn blocks(&self) -> u32 {
        self.last
    }
}

// ANCHOR: timeout
/// How long to wait for an answer, by the rules of RFC 6298 for TCP.
struct Timeout {
    current: Duration,
    /// The smoothed round trip, and how much it varies.
    measured: Option<(Duration, Duration)>,
}

impl Timeout {
    fn new() -> Timeout {
        Timeout {
            current: FIRST_TIMEOUT,
            measured: None,
        }
    }

    fn measured(&mut self, round_trip: Duration) {
        let (smooth, varies) = match self.measured {
            None => (round_trip, round_trip / 2),
            Some((smooth, varies)) => (
                (smooth * 7 + round_trip) / 8,
                (varies * 3 + smooth.abs_diff(round_trip)) / 4,
            ),
        };
        self.measured = Some((smooth, varies));
        self.current = (smooth + varies * 4).clamp(MIN_TIMEOUT, MAX_TIMEOUT);
    }

    /// Kept until the next measurement: a full network gets less from us.
    fn back_off(&mut self) {
        self.current = (self.current * 2).min(MAX_TIMEOUT);
    }
}
// ANCHOR_END: timeout

/// Why a transfer has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// This number was not acknowledged. If it is the last one, the file may
    /// be there all the same.
    NotAcknowledged {
        number: u32,
        last: u32,
    },
    Refused(Reason),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotAcknowledged { number, last } if number == last => {
                let block = "the last block was not acknowledged";
                write!(f, "{block}; the file may be there")
            }
            Failure::NotAcknowledged { number: 0, .. } => {
                write!(f, "the offer was not acknowledged")
            }
            Failure::NotAcknowledged { number, last } => {
                write!(f, "block {number} of {last} was not acknowledged")
            }
            Failure::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

impl std::error::Error for Failure {}
