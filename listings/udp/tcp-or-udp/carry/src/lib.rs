//! Numbered messages, and a tally of those that have arrived.

use std::time::{Duration, Instant};

// ANCHOR: message
/// The longest message, in bytes: one datagram of it fits every path with an
/// MTU of 1280 bytes or more.
pub const MAX_SIZE: usize = 1200;

/// The most messages in one go.
pub const MAX_TOTAL: u32 = 100_000;

/// The number of the message and how many there will be, each 4 bytes and
/// big-endian.
pub const HEADER: usize = 8;

/// Message `number` of `total`, filled up to `size` bytes.
pub fn message(number: u32, total: u32, size: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(size);
    message.extend(number.to_be_bytes());
    message.extend(total.to_be_bytes());
    message.resize(size, b'.');
    message
}

/// The number of a message, and how many there will be. `None` if it is no
/// message of ours.
pub fn parse(message: &[u8]) -> Option<(u32, u32)> {
    let (number, rest) = message.split_first_chunk::<4>()?;
    let (total, filling) = rest.split_first_chunk::<4>()?;
    let number = u32::from_be_bytes(*number);
    let total = u32::from_be_bytes(*total);
    (1 <= number
        && number <= total
        && total <= MAX_TOTAL
        && filling.len() <= MAX_SIZE - HEADER)
        .then_some((number, total))
}
// ANCHOR_END: message

// ANCHOR: tally
/// Which messages have arrived, and how long that took.
pub struct Tally {
    has: Vec<bool>,
    arrived: u32,
    started: Instant,
    heard: Instant,
}

impl Tally {
    pub fn new(total: u32, now: Instant) -> Tally {
        Tally {
            has: vec![false; total as usize],
            arrived: 0,
            started: now,
            heard: now,
        }
    }

    pub fn take(&mut self, number: u32, now: Instant) {
        self.heard = now;
        // Twice the same message is still one message.
        if let Some(has) = self.has.get_mut(number as usize - 1) {
            self.arrived += u32::from(!*has);
            *has = true;
        }
    }
    // ANCHOR_END: tally

    pub fn total(&self) -> u32 {
        self.has.len() as u32
    }

    pub fn arrived(&self) -> u32 {
        self.arrived
    }

    pub fn is_complete(&self) -> bool {
        self.arrived == self.total()
    }

    /// From the first message to the last one that has arrived.
    pub fn took(&self) -> Duration {
        self.heard - self.started
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    pub fn heard(&self) -> Instant {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_its_number_and_how_many_there_are() {
        for size in [HEADER, 100, MAX_SIZE] {
            let message = message(3, 10, size);
            assert_eq!(message.len(), size);
            assert_eq!(parse(&message), Some((3, 10)));
        }
    }

    #[test]
    fn what_is_no_message_is_nothing() {
        let whole = message(1, 1, HEADER);
        for end in 0..HEADER {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
        assert_eq!(parse(&message(0, 1, 100)), None);
        assert_eq!(parse(&message(2, 1, 100)), None);
        assert_eq!(parse(&message(1, MAX_TOTAL + 1, 100)), None);
        assert_eq!(parse(&message(1, 1, MAX_SIZE + 1)), None);
    }

    #[test]
    fn the_same_message_twice_counts_once() {
        let now = Instant::now();
        let mut tally = Tally::new(2, now);
        tally.take(2, now);
        tally.take(2, now + Duration::from_secs(1));
        assert_eq!(tally.arrived(), 1);
        assert!(!tally.is_complete());
        tally.take(1, now + Duration::from_secs(2));
        assert!(tally.is_complete());
        assert_eq!(tally.took(), Duration::from_secs(2));
    }
}
