//! The protocol over a link in memory that loses, doubles and reorders. Its
//! times are made up, so that minutes pass in microseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ferry::datagram::{
    BLOCK, Datagram, MAX_LENGTH, Message, Reason, crc32, last_block,
};
use ferry::receiver::{self, PATIENCE};
use ferry::sender::{self, Failure, MAX_TIMEOUT, TRIES};
use ferry::{Receiver, Sender};

/// The numbers of [SplitMix64](https://prng.di.unimi.it/splitmix64.c).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn file(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most as u64 + 1) as usize;
        let words = (0..length.div_ceil(8)).map(|_| self.below(u64::MAX));
        let mut file: Vec<u8> = words.flat_map(u64::to_be_bytes).collect();
        file.truncate(length);
        file
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Sender,
    Receiver,
}

/// When, in which order, where, what.
type Arrival = (Instant, u64, Side, Vec<u8>);

/// Loses some, doubles some, and lets each copy take as long as it likes: up
/// to 700 ms, which is longer than the least timeout.
struct Link {
    random: Random,
    loss: u64,
    due: BinaryHeap<Reverse<Arrival>>,
    sent: u64,
}

impl Link {
    fn new(seed: u64, loss: u64) -> Link {
        Link {
            random: Random(seed),
            loss,
            due: BinaryHeap::new(),
            sent: 0,
        }
    }

    fn send(&mut self, to: Side, bytes: Vec<u8>, now: Instant) {
        let copies = if self.random.percent(20) { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.percent(self.loss) {
                continue;
            }
            let delay = Duration::from_millis(self.random.below(700) + 1);
            self.sent += 1;
            let arrival = (now + delay, self.sent, to, bytes.clone());
            self.due.push(Reverse(arrival));
        }
    }
}

struct Crossing {
    end: sender::Step,
    stored: Vec<Vec<u8>>,
    took: Duration,
    repeated: u64,
}

fn peer() -> SocketAddr {
    "192.0.2.1:40000".parse().unwrap()
}

/// Sends a file across, and then waits until nothing is on its way any more.
fn cross(
    mut sender: Sender,
    receiver: &mut Receiver,
    link: &mut Link,
    start: Instant,
) -> Crossing {
    let mut now = start;
    let mut stored = Vec::new();
    let mut end = None;
    let mut took = Duration::ZERO;
    let mut step = sender.start(now);
    loop {
        match step {
            sender::Step::Send(bytes) => link.send(Side::Receiver, bytes, now),
            sender::Step::Wait => {}
            done if end.is_none() => {
                took = now - start;
                end = Some(done);
            }
            _ => {}
        }
        step = sender::Step::Wait;
        let arrival = link.due.peek().map(|Reverse((at, ..))| *at);
        let deadline = end.is_none().then(|| sender.deadline());
        let Some(next) = arrival.into_iter().chain(deadline).min() else {
            break;
        };
        now = next;
        receiver.on_deadline(now);
        if arrival != Some(next) {
            step = sender.on_deadline(now);
            continue;
        }
        let Reverse((_, _, to, bytes)) = link.due.pop().unwrap();
        if to == Side::Sender {
            if end.is_none() {
                step = sender.on_datagram(&bytes, now);
            }
            continue;
        }
        match receiver.on_datagram(peer(), &bytes, now) {
            receiver::Step::Ignore => {}
            receiver::Step::Reply(reply) => {
                link.send(Side::Sender, reply, now);
            }
            receiver::Step::Store(file) => {
                stored.push(file);
                let reply = receiver.stored(now).unwrap();
                link.send(Side::Sender, reply, now);
            }
        }
    }
    Crossing {
        end: end.unwrap(),
        stored,
        took,
        repeated: sender.repeated(),
    }
}

/// 2,050 seeds, fifty for each rate of loss from 0 to 40 percent.
const SEEDS: u64 = 41 * 50;

#[test]
fn a_file_arrives_whole_whatever_the_link_does() {
    let start = Instant::now();
    let mut repeated = 0;
    for seed in 0..SEEDS {
        let loss = seed % 41;
        let mut link = Link::new(seed, loss);
        let file = link.random.file(5 * BLOCK);
        // With 12 tries some would fail: see the next test.
        let sender = Sender::with_tries(seed, file.clone(), start, 100);
        let mut receiver = Receiver::default();
        let crossing = cross(sender.unwrap(), &mut receiver, &mut link, start);
        assert_eq!(crossing.end, sender::Step::Delivered, "seed {seed}");
        assert!(crossing.stored == [file], "seed {seed}");
        repeated += crossing.repeated;
    }
    assert!(
        repeated > SEEDS,
        "{repeated}: the link does not do its worst"
    );
}

#[test]
fn who_gives_up_early_never_claims_too_much() {
    let start = Instant::now();
    let (mut delivered, mut half_way, mut unknown) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut link = Link::new(seed, 40);
        let file = link.random.file(5 * BLOCK);
        let sender = Sender::with_tries(seed, file.clone(), start, 3);
        let mut receiver = Receiver::default();
        let crossing = cross(sender.unwrap(), &mut receiver, &mut link, start);
        match crossing.end {
            sender::Step::Delivered => {
                assert!(crossing.stored == [file], "seed {seed}");
                delivered += 1;
            }
            sender::Step::Failed(Failure::NotAcknowledged { number, last })
                if number < last =>
            {
                assert!(crossing.stored.is_empty(), "seed {seed}");
                half_way += 1;
            }
            // The sender can't know. What is stored is whole all the same.
            sender::Step::Failed(Failure::NotAcknowledged { .. }) => {
                if !crossing.stored.is_empty() {
                    assert!(crossing.stored == [file], "seed {seed}");
                    unknown += 1;
                }
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    // The chapter names the last of these.
    assert_eq!((delivered, half_way, unknown), (979, 864, 147));
}

#[test]
fn datagrams_of_an_earlier_transfer_change_nothing() {
    let start = Instant::now();
    for seed in 0..200 {
        let mut receiver = Receiver::default();
        let mut link = Link::new(seed, 20);
        let early =
            Sender::with_tries(1, link.random.file(4 * BLOCK), start, 100);
        let mut copies = Link::new(seed, 0);
        let mut script = Sender::new(1, vec![7; 4 * BLOCK], start).unwrap();
        let mut old = vec![script.start(start)];
        for number in 0..4 {
            let ack = datagram(1, Message::Ack { number });
            old.push(script.on_datagram(&ack, start));
        }
        let done = cross(early.unwrap(), &mut receiver, &mut link, start);
        assert_eq!(done.end, sender::Step::Delivered);

        // The second transfer, with blocks of the first one thrown in.
        let file = link.random.file(4 * BLOCK);
        let second = Sender::with_tries(2, file.clone(), start, 100).unwrap();
        let later = start + done.took;
        for step in old {
            let sender::Step::Send(bytes) = step else {
                panic!("{step:?}");
            };
            for _ in 0..5 {
                copies.send(Side::Receiver, bytes.clone(), later);
            }
        }
        copies.loss = 20;
        let crossing = cross(second, &mut receiver, &mut copies, later);
        assert_eq!(crossing.end, sender::Step::Delivered, "seed {seed}");
        assert!(crossing.stored == [file], "seed {seed}");
    }
}

fn datagram(transfer: u64, message: Message<'_>) -> Vec<u8> {
    Datagram { transfer, message }.encode()
}

fn offer(transfer: u64, file: &[u8]) -> Vec<u8> {
    let message = Message::Offer {
        length: file.len() as u32,
        checksum: crc32(file),
    };
    datagram(transfer, message)
}

fn block(transfer: u64, number: u32, payload: &[u8]) -> Vec<u8> {
    datagram(transfer, Message::Block { number, payload })
}

fn ack(transfer: u64, number: u32) -> receiver::Step {
    receiver::Step::Reply(datagram(transfer, Message::Ack { number }))
}

fn refusal(transfer: u64, reason: Reason) -> receiver::Step {
    receiver::Step::Reply(datagram(transfer, Message::Refuse(reason)))
}

#[test]
fn a_block_that_came_before_is_acknowledged_and_not_taken() {
    let now = Instant::now();
    let file = [b"a".repeat(BLOCK), b"b".to_vec()].concat();
    let mut receiver = Receiver::default();
    let mut get = |bytes: &[u8]| receiver.on_datagram(peer(), bytes, now);
    assert_eq!(get(&offer(1, &file)), ack(1, 0));
    assert_eq!(get(&offer(1, &file)), ack(1, 0));
    assert_eq!(get(&block(1, 1, &file[..BLOCK])), ack(1, 1));
    assert_eq!(get(&block(1, 1, &file[..BLOCK])), ack(1, 1));
    assert_eq!(
        get(&block(1, 2, &file[BLOCK..])),
        receiver::Step::Store(file.clone())
    );
    // Until it is stored, nobody says that it is.
    assert_eq!(get(&block(1, 2, &file[BLOCK..])), receiver::Step::Ignore);
    assert!(receiver.stored(now).is_some());
    let mut get = |bytes: &[u8]| receiver.on_datagram(peer(), bytes, now);
    assert_eq!(get(&block(1, 2, &file[BLOCK..])), ack(1, 2));
    assert_eq!(get(&offer(1, &file)), ack(1, 2));
}

#[test]
fn blocks_out_of_turn_and_of_a_wrong_size_are_ignored() {
    let now = Instant::now();
    let file = vec![1; 2 * BLOCK];
    let mut receiver = Receiver::default();
    let mut get = |bytes: &[u8]| receiver.on_datagram(peer(), bytes, now);
    assert_eq!(get(&offer(1, &file)), ack(1, 0));
    assert_eq!(get(&block(1, 2, &file[BLOCK..])), receiver::Step::Ignore);
    assert_eq!(get(&block(1, 1, &file[..9])), receiver::Step::Ignore);
    assert_eq!(get(&block(1, u32::MAX, b"x")), receiver::Step::Ignore);
    assert_eq!(get(b"hello"), receiver::Step::Ignore);
    assert_eq!(get(b""), receiver::Step::Ignore);
    assert_eq!(get(&block(1, 1, &file[..BLOCK])), ack(1, 1));
}

#[test]
fn strangers_are_told_apart() {
    let now = Instant::now();
    let file = vec![1; BLOCK + 1];
    let stranger: SocketAddr = "192.0.2.9:40000".parse().unwrap();
    let mut receiver = Receiver::default();
    assert_eq!(
        receiver.on_datagram(peer(), &offer(1, &file), now),
        ack(1, 0)
    );
    for id in [1, 2] {
        // The right number from the wrong address is a stranger's too.
        assert_eq!(
            receiver.on_datagram(stranger, &offer(id, &file), now),
            refusal(id, Reason::Busy)
        );
        assert_eq!(
            receiver.on_datagram(stranger, &block(id, 1, &file[1..]), now),
            refusal(id, Reason::Unknown)
        );
    }
    assert_eq!(
        receiver.on_datagram(peer(), &block(1, 1, &file[1..]), now),
        ack(1, 1)
    );
    let acknowledged = datagram(1, Message::Ack { number: 2 });
    assert_eq!(
        receiver.on_datagram(stranger, &acknowledged, now),
        receiver::Step::Ignore
    );
}

#[test]
fn a_silent_peer_loses_its_place() {
    let start = Instant::now();
    let stranger: SocketAddr = "192.0.2.9:40000".parse().unwrap();
    let mut receiver = Receiver::default();
    receiver.on_datagram(peer(), &offer(1, b"some"), start);
    assert_eq!(receiver.deadline(), Some(start + PATIENCE));
    let later = start + PATIENCE;
    assert_eq!(receiver.on_deadline(later - Duration::from_millis(1)), None);
    assert_eq!(receiver.on_deadline(later), Some(peer()));
    assert_eq!(receiver.deadline(), None);
    assert_eq!(
        receiver.on_datagram(stranger, &offer(2, b"some"), later),
        ack(2, 0)
    );
}

#[test]
fn a_slow_peer_loses_its_place_too() {
    let start = Instant::now();
    let mut receiver = Receiver::default();
    let mut now = start;
    receiver.on_datagram(peer(), &offer(1, b"some"), now);
    // It says the same again and again, always in time.
    while receiver.on_deadline(now).is_none() {
        receiver.on_datagram(peer(), &offer(1, b"some"), now);
        now += PATIENCE / 2;
        assert!(now < start + sender::MAX_TIME * 2);
    }
    assert_eq!(receiver.deadline(), None);
}

#[test]
fn a_finished_transfer_is_forgotten_after_every_sender_has_given_up() {
    assert!(PATIENCE > MAX_TIMEOUT * TRIES);
    let start = Instant::now();
    let mut receiver = Receiver::default();
    let step = receiver.on_datagram(peer(), &offer(1, b""), start);
    assert_eq!(step, receiver::Step::Store(Vec::new()));
    assert!(receiver.stored(start).is_some());
    assert_eq!(receiver.deadline(), Some(start + PATIENCE));
    assert_eq!(receiver.on_deadline(start + PATIENCE), None);
    assert_eq!(receiver.deadline(), None);
}

#[test]
fn a_damaged_file_is_refused_and_not_stored() {
    let now = Instant::now();
    let mut receiver = Receiver::default();
    receiver.on_datagram(peer(), &offer(1, b"good"), now);
    assert_eq!(
        receiver.on_datagram(peer(), &block(1, 1, b"goof"), now),
        refusal(1, Reason::Damaged)
    );
    assert_eq!(receiver.deadline(), None, "the place is free");
}

#[test]
fn a_file_that_is_too_long_is_refused_by_both() {
    let now = Instant::now();
    let mut receiver = Receiver::default();
    let message = Message::Offer {
        length: MAX_LENGTH as u32 + 1,
        checksum: 0,
    };
    assert_eq!(
        receiver.on_datagram(peer(), &datagram(1, message), now),
        refusal(1, Reason::TooLong)
    );
    let sender = Sender::new(1, vec![0; MAX_LENGTH + 1], now);
    assert_eq!(sender.err(), Some(Failure::Refused(Reason::TooLong)),);
    assert!(Sender::new(1, vec![0; MAX_LENGTH], now).is_ok());
    assert_eq!(last_block(MAX_LENGTH) as usize, MAX_LENGTH.div_ceil(BLOCK));
}

#[test]
fn the_sender_waits_longer_each_time_and_then_gives_up() {
    let start = Instant::now();
    let mut sender = Sender::new(1, b"file".to_vec(), start).unwrap();
    let mut waits = Vec::new();
    let mut now = start;
    let mut step = sender.start(now);
    while let sender::Step::Send(_) = step {
        let deadline = sender.deadline();
        waits.push((deadline - now).as_secs());
        // Woken too early, it waits on.
        let early = deadline - Duration::from_millis(1);
        assert_eq!(sender.on_deadline(early), sender::Step::Wait);
        now = deadline;
        step = sender.on_deadline(now);
    }
    assert_eq!(waits, [1, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]);
    let failure = Failure::NotAcknowledged { number: 0, last: 1 };
    assert_eq!(step, sender::Step::Failed(failure));
}

#[test]
fn the_timeout_follows_the_round_trip() {
    let start = Instant::now();
    for (round_trip, timeout) in [(10, 200), (100, 300), (5000, 4000)] {
        let mut sender = Sender::new(1, vec![0; 9 * BLOCK], start).unwrap();
        sender.start(start);
        let now = start + Duration::from_millis(round_trip);
        let acked = datagram(1, Message::Ack { number: 0 });
        assert!(matches!(
            sender.on_datagram(&acked, now),
            sender::Step::Send(_)
        ));
        assert_eq!((sender.deadline() - now).as_millis(), timeout);
    }
}

#[test]
fn an_acknowledgment_that_comes_twice_sends_nothing_twice() {
    let now = Instant::now();
    let mut sender = Sender::new(1, vec![0; 2 * BLOCK], now).unwrap();
    sender.start(now);
    let first = datagram(1, Message::Ack { number: 0 });
    assert!(matches!(
        sender.on_datagram(&first, now),
        sender::Step::Send(_)
    ));
    for bytes in [
        first.clone(),
        datagram(1, Message::Ack { number: 2 }),
        datagram(2, Message::Ack { number: 1 }),
        datagram(2, Message::Refuse(Reason::Busy)),
        b"hello".to_vec(),
    ] {
        assert_eq!(sender.on_datagram(&bytes, now), sender::Step::Wait);
    }
}
