//! The link: takes packets from each host's device, delays and loses them as the scene says, gives them to others,
//! and writes everything down.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::host::Host;
use crate::packet::{Body, Flags, Packet};
use crate::recording::{Arrival, Fate, What};
use crate::scene::{Act, Kind, Scene};

pub(super) struct Link {
    /// What all times count from.
    pub(super) start: Instant,
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<(Duration, What)>>,
}

struct Shared {
    stop: AtomicBool,
    /// Microseconds from the start: the last time a packet came or went.
    last: AtomicU64,
    /// How many packets are on their way.
    flying: AtomicU64,
    /// When the scene's clock started, counted from the start.
    zero: Mutex<Option<Duration>>,
}

impl Link {
    pub(super) fn start(hosts: &[Host], scene: &Scene) -> Result<Link> {
        let mut ends = Vec::new();
        for host in hosts {
            ends.push(End {
                device: host.device.try_clone().context("share a device")?,
                addresses: host.addresses.clone(),
                free: Duration::ZERO,
                waiting: VecDeque::new(),
            });
        }
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            last: AtomicU64::new(0),
            flying: AtomicU64::new(0),
            zero: Mutex::new(None),
        });
        let start = Instant::now();
        let mut mover = Mover {
            start,
            ends,
            counts: vec![0; scene.fault.len()],
            sent: vec![0; scene.host.len()],
            scene: scene.clone(),
            due: BinaryHeap::new(),
            order: 0,
            log: Vec::new(),
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new()
            .name("link".to_string())
            .spawn(move || {
                mover.run();
                mover.log
            })
            .context("start a thread")?;
        Ok(Link {
            start,
            shared,
            thread,
        })
    }

    /// The scene's clock starts: cuts count from here.
    pub(super) fn zero(&self, zero: Duration) {
        *self
            .shared
            .zero
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(zero);
        // Silence counts from here too.
        self.shared
            .last
            .store(zero.as_micros() as u64, Ordering::SeqCst);
    }

    /// Whether nothing has crossed for this long, and nothing is on its way.
    pub(super) fn quiet_for(&self, time: Duration) -> bool {
        let last = Duration::from_micros(self.shared.last.load(Ordering::SeqCst));
        self.shared.flying.load(Ordering::SeqCst) == 0
            && self.start.elapsed().saturating_sub(last) >= time
    }

    /// Every packet, at the time when it was sent.
    pub(super) fn finish(self) -> Vec<(Duration, What)> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the link does not panic")
    }
}

/// A host's end of the link, with the line that leads into it.
struct End {
    device: OwnedFd,
    addresses: Vec<IpAddr>,
    /// When the line has sent everything that it was given.
    free: Duration,
    /// When each of those leaves.
    waiting: VecDeque<Duration>,
}

struct Mover {
    start: Instant,
    ends: Vec<End>,
    scene: Scene,
    /// How many packets each fault has matched.
    counts: Vec<u32>,
    /// How many packets each host has sent.
    sent: Vec<u64>,
    /// Arrival, order, index into the log, host.
    due: BinaryHeap<Reverse<(Duration, u64, usize, usize)>>,
    order: u64,
    log: Vec<(Duration, What)>,
    shared: Arc<Shared>,
}

impl Mover {
    fn run(&mut self) {
        // Sleep as exactly as the kernel can.
        let _ = nix::sys::prctl::set_timerslack(1);
        let mut buffer = vec![0; 65536];
        while !self.shared.stop.load(Ordering::SeqCst) {
            // One at a time, and answers are read before the next one is delivered.
            while self.deliver_next() {
                self.read_all(&mut buffer);
            }
            let longest = Duration::from_millis(20);
            let pause = self.due.peek().map_or(longest, |Reverse((due, ..))| {
                due.saturating_sub(self.start.elapsed()).min(longest)
            });
            let mut devices: Vec<PollFd> = self
                .ends
                .iter()
                .map(|end| PollFd::new(end.device.as_fd(), PollFlags::POLLIN))
                .collect();
            let _ = ppoll(&mut devices, Some(TimeSpec::from_duration(pause)), None);
            drop(devices);
            self.read_all(&mut buffer);
        }
    }

    /// Gives the next packet that is due to its host; `false` if none is.
    fn deliver_next(&mut self) -> bool {
        match self.due.peek() {
            Some(Reverse((due, ..))) if *due <= self.start.elapsed() => {}
            _ => return false,
        }
        let Some(Reverse((_, _, index, host))) = self.due.pop() else {
            return false;
        };
        let at = self.start.elapsed();
        if let What::Packet {
            bytes, arrivals, ..
        } = &mut self.log[index].1
        {
            // A host whose interface refuses it has lost it; its own counters tell.
            let _ = nix::unistd::write(&self.ends[host].device, bytes);
            arrivals.push(Arrival {
                host,
                at_us: at.as_micros() as i64,
            });
        }
        self.shared
            .last
            .store(at.as_micros() as u64, Ordering::SeqCst);
        self.shared.flying.fetch_sub(1, Ordering::SeqCst);
        true
    }

    fn read_all(&mut self, buffer: &mut [u8]) {
        for from in 0..self.ends.len() {
            loop {
                let device: BorrowedFd = self.ends[from].device.as_fd();
                match nix::unistd::read(device, buffer) {
                    Ok(0) | Err(Errno::EAGAIN) => break,
                    Ok(count) => self.take(from, buffer[..count].to_vec()),
                    Err(Errno::EINTR) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// A host has sent a packet: decides what becomes of it.
    fn take(&mut self, from: usize, bytes: Vec<u8>) {
        let now = self.start.elapsed();
        self.shared
            .last
            .store(now.as_micros() as u64, Ordering::SeqCst);
        let packet = Packet::parse(&bytes);
        let mut fate = Fate::Passed;
        let mut late = Duration::ZERO;
        for (fault, count) in self.scene.fault.iter().zip(&mut self.counts) {
            let matches = packet
                .as_ref()
                .is_some_and(|packet| is_kind(fault.packet, packet));
            if self.scene.host[from].name != fault.from || !matches {
                continue;
            }
            *count += 1;
            if fault.number.contains(count) {
                match fault.act {
                    Act::Drop => fate = Fate::Dropped,
                    Act::Double => fate = Fate::Doubled,
                    Act::Delay => {
                        fate = Fate::Delayed;
                        late = fault.by.unwrap_or_default();
                    }
                }
            }
        }
        let link = &self.scene.link;
        if chance(link.seed, from, self.sent[from]) < link.loss {
            fate = Fate::Dropped;
        }
        self.sent[from] += 1;
        if self.is_cut(from, now) {
            fate = Fate::Cut;
        }
        let to = packet.map_or(Vec::new(), |packet| self.hosts_of(packet.destination, from));
        if to.is_empty() && !fate.is_lost() {
            fate = Fate::NoHost;
        }
        let mut due = Duration::ZERO;
        if !fate.is_lost() {
            let end = &mut self.ends[from];
            while end.waiting.front().is_some_and(|left| *left <= now) {
                end.waiting.pop_front();
            }
            if end.waiting.len() >= self.scene.link.queue {
                fate = Fate::QueueFull;
            } else {
                let bits = bytes.len() as u64 * 8;
                let takes = Duration::from_nanos(bits * 1_000_000_000 / self.scene.link.rate);
                end.free = end.free.max(now) + takes;
                end.waiting.push_back(end.free);
                due = end.free + self.scene.link.delay + late;
            }
        }
        let index = self.log.len();
        self.log.push((
            now,
            What::Packet {
                from,
                fate,
                arrivals: Vec::new(),
                bytes,
                size: None,
            },
        ));
        if !fate.is_lost() {
            for _ in 0..if fate == Fate::Doubled { 2 } else { 1 } {
                for host in &to {
                    self.due.push(Reverse((due, self.order, index, *host)));
                    self.order += 1;
                    self.shared.flying.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn is_cut(&self, from: usize, now: Duration) -> bool {
        let Some(zero) = *self
            .shared
            .zero
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        else {
            return false;
        };
        self.scene.cut.iter().any(|cut| {
            let concerns = cut
                .from
                .as_ref()
                .is_none_or(|name| *name == self.scene.host[from].name);
            let over = cut.until.is_some_and(|until| now >= zero + until);
            concerns && now >= zero + cut.at && !over
        })
    }

    /// The hosts that an address means: one, or all the others.
    fn hosts_of(&self, address: IpAddr, from: usize) -> Vec<usize> {
        let everybody = match address {
            IpAddr::V4(address) => {
                address.is_broadcast() || address.is_multicast() || address.octets()[3] == 255
            }
            IpAddr::V6(address) => address.is_multicast(),
        };
        (0..self.ends.len())
            .filter(|host| {
                if everybody {
                    *host != from
                } else {
                    self.ends[*host].addresses.contains(&address)
                }
            })
            .collect()
    }
}

/// A number from 0 to 1 that looks random, and is the same in every run and with every release of every library:
/// [SplitMix64](https://doi.org/10.1145/2714064.2660195).
fn chance(seed: u64, host: usize, packet: u64) -> f64 {
    let mix = |number: u64| {
        let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    };
    (mix(mix(mix(seed) ^ host as u64) ^ packet) >> 11) as f64 / (1_u64 << 53) as f64
}

fn is_kind(kind: Kind, packet: &Packet) -> bool {
    let flags = match &packet.body {
        Body::Tcp(tcp) => tcp.flags,
        _ => Flags(0),
    };
    let payload = !packet.payload().is_empty();
    match kind {
        Kind::Any => true,
        Kind::Syn => flags.has(Flags::SYN) && !flags.has(Flags::ACK),
        Kind::SynAck => flags.has(Flags::SYN) && flags.has(Flags::ACK),
        Kind::Fin => flags.has(Flags::FIN),
        Kind::Rst => flags.has(Flags::RST),
        Kind::Data => payload,
        Kind::Ack => {
            let more = Flags(Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0);
            flags.has(Flags::ACK) && !flags.has(more) && !payload
        }
    }
}
