//! What a server needs of io_uring, as safe functions. The rule behind all of
//! them: while the kernel may touch memory, that memory belongs to the `Ring`.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use io_uring::types::{CancelBuilder, Fd, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};

/// How many requests fit between two calls of the kernel.
const REQUESTS: u32 = 1024;
/// How many completions fit: a request for many can complete many times.
const COMPLETIONS: u32 = 8192;
/// How many bytes one buffer of the pool holds.
pub const BUFFER: usize = 4096;
/// How many buffers the kernel has to receive into; a power of two. All of
/// them together fit into the cache of a core.
const POOL: u16 = 128;
/// The name of the pool; a ring may have several.
const GROUP: u16 = 0;

// ANCHOR: event
/// What the kernel has done.
pub enum Event {
    Accepted(io::Result<OwnedFd>),
    /// An empty buffer is the end of the stream. Without `more`, this was the
    /// last one, and `receive` has to be asked again.
    Received {
        key: u32,
        result: io::Result<Buffer>,
        more: bool,
    },
    /// How many bytes were sent: perhaps not all. The buffer comes back.
    Sent {
        key: u32,
        result: io::Result<usize>,
        buffer: Buffer,
    },
    Readable,
    Tick,
}
// ANCHOR_END: event

/// Bytes that were received, or are to be sent.
#[derive(Default)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Forgets the first `count` bytes.
    pub fn advance(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer {
            start: 0,
            end: bytes.len(),
            memory: bytes,
        }
    }
}

pub struct Ring {
    uring: IoUring,
    /// Requests that found the queue full.
    later: VecDeque<squeue::Entry>,
    /// The memory that the kernel may write to, by the number of the buffer.
    pool: Vec<Option<Vec<u8>>>,
    /// The memory that the kernel may read from, by key.
    sending: Vec<Option<Buffer>>,
    /// The list of buffers that the kernel takes from.
    offers: &'static Offers,
    offered: u16,
    /// Numbers without a buffer, and buffers without a number.
    empty: Vec<u16>,
    spare: Vec<Vec<u8>>,
}

/// A list of buffers as the kernel reads it (`struct io_uring_buf_ring`). The
/// alignment is that of the largest page that Linux has.
#[repr(C, align(65536))]
struct Offers([Offer; POOL as usize]);

#[repr(C)]
#[derive(Default)]
struct Offer {
    address: AtomicU64,
    length: AtomicU32,
    number: AtomicU16,
    /// In the first offer: how many offers were made, ever, modulo 2^16.
    offered: AtomicU16,
}

/// Why there is no ring.
pub enum Refusal {
    /// This kernel, or a sandbox, does not let us have one.
    Forbidden(io::Error, &'static str),
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        let why = match error.raw_os_error() {
            Some(libc::ENOSYS) => "this kernel has none",
            Some(libc::EPERM | libc::EACCES) => {
                "the sysctl kernel.io_uring_disabled or a sandbox forbids it"
            }
            Some(libc::EINVAL) => "this kernel is older than Linux 6.1",
            Some(libc::ENOMEM) => "see the limit of locked memory, ulimit -l",
            _ => return Refusal::Failed(error),
        };
        Refusal::Forbidden(error, why)
    }
}

impl Ring {
    // ANCHOR: new
    pub fn new() -> Result<Ring, Refusal> {
        let uring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            // One thread asks, and the kernel works while that thread waits.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(REQUESTS)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::Accept::CODE,
            opcode::AsyncCancel::CODE,
            opcode::Close::CODE,
            opcode::PollAdd::CODE,
            opcode::Recv::CODE,
            opcode::Send::CODE,
            opcode::Timeout::CODE,
        ];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS).into());
        }

        let offers =
            Box::new(Offers(std::array::from_fn(|_| Offer::default())));
        let offers: &'static Offers = Box::leak(offers);
        let address = offers as *const Offers as u64;
        let submitter = uring.submitter();
        // SAFETY: `address` is that of POOL offers, and they are never freed.
        unsafe {
            submitter.register_buf_ring_with_flags(address, POOL, GROUP, 0)?;
        }
        Ok(Ring {
            uring,
            later: VecDeque::new(),
            pool: (0..POOL).map(|_| None).collect(),
            sending: Vec::new(),
            offers,
            offered: 0,
            empty: (0..POOL).collect(),
            spare: Vec::new(),
        })
    }
    // ANCHOR_END: new

    /// Asks for one connection.
    pub fn accept(&mut self, listener: &impl AsFd) {
        let none = std::ptr::null_mut();
        let accept = opcode::Accept::new(fd(listener), none, none.cast())
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.push(accept, Kind::Accept, 0);
    }

    // ANCHOR: receive
    /// Asks for all bytes of a stream, as they come. There must be one such
    /// request a key.
    pub fn receive(&mut self, stream: &impl AsFd, key: u32) {
        let receive = opcode::RecvMulti::new(fd(stream), GROUP).build();
        self.push(receive, Kind::Receive, key);
    }

    /// Asks for those bytes that have already come. `WouldBlock`: none.
    pub fn receive_now(&mut self, stream: &impl AsFd, key: u32) {
        let none = std::ptr::null_mut();
        let receive = opcode::Recv::new(fd(stream), none, BUFFER as u32)
            .flags(libc::MSG_DONTWAIT)
            .buf_group(GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(receive, Kind::Receive, key);
    }
    // ANCHOR_END: receive

    // ANCHOR: send
    /// Asks to send. The buffer is the ring's until `Sent` gives it back. A
    /// second one of the same key could overtake it, so that is a panic.
    pub fn send(&mut self, stream: &impl AsFd, key: u32, buffer: Buffer) {
        let place = key as usize;
        if self.sending.len() <= place {
            self.sending.resize_with(place + 1, || None);
        }
        assert!(self.sending[place].is_none(), "one at a time");
        let length = buffer.len().min(1 << 30) as u32;
        let send = opcode::Send::new(fd(stream), buffer.as_ptr(), length);
        self.sending[place] = Some(buffer);
        self.push(send.build(), Kind::Send, key);
    }
    // ANCHOR_END: send

    /// Asks to be told when there is something to read.
    pub fn poll(&mut self, of: &impl AsFd) {
        let poll = opcode::PollAdd::new(fd(of), libc::POLLIN as u32).build();
        self.push(poll, Kind::Poll, 0);
    }

    /// Asks for a `Tick` in a second.
    pub fn tick(&mut self) {
        static SECOND: Timespec = Timespec::new().sec(1);
        self.push(opcode::Timeout::new(&SECOND).build(), Kind::Tick, 0);
    }

    /// Ends the request to receive of this key. It still completes, with
    /// bytes, its end or an error.
    pub fn cancel_receive(&mut self, key: u32) {
        let receive = user_data(Kind::Receive, key);
        let cancel = opcode::AsyncCancel::new(receive).build();
        self.push(cancel, Kind::Ignore, 0);
    }

    /// Ends all requests that use this descriptor. Each still completes.
    pub fn cancel_all(&mut self, of: &impl AsFd) {
        let all = CancelBuilder::fd(fd(of)).all();
        self.push(opcode::AsyncCancel2::new(all).build(), Kind::Ignore, 0);
    }

    /// Closes a descriptor, after all that was asked of it before.
    pub fn close(&mut self, of: OwnedFd) {
        let close = opcode::Close::new(fd(&of)).build();
        let _ = of.into_raw_fd(); // the kernel closes it, not we
        self.push(close, Kind::Ignore, 0);
    }

    // ANCHOR: push
    fn push(&mut self, request: squeue::Entry, kind: Kind, key: u32) {
        self.later
            .push_back(request.user_data(user_data(kind, key)));
        self.queue();
    }

    fn queue(&mut self) {
        let mut queue = self.uring.submission();
        while let Some(request) = self.later.front() {
            // SAFETY: the memory of a request is static (`tick`), or it is in
            // `pool` or `sending` until the kernel says that it is done.
            if unsafe { queue.push(request) }.is_err() {
                return; // the queue is full: after the next `wait`
            }
            self.later.pop_front();
        }
    }
    // ANCHOR_END: push

    // ANCHOR: wait
    /// Hands all requests to the kernel, and waits until one or more have
    /// completed.
    pub fn wait(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        self.offer();
        self.queue();
        let wanted = usize::from(self.later.is_empty());
        match self.uring.submit_and_wait(wanted) {
            Ok(_) => {}
            // A signal, or more completions than there is room: take some.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) => {}
            Err(error) => return Err(error),
        }
        while let Some(entry) = self.completion() {
            events.extend(self.event(&entry));
        }
        Ok(())
    }
    // ANCHOR_END: wait

    fn completion(&mut self) -> Option<cqueue::Entry> {
        self.uring.completion().next()
    }

    fn event(&mut self, entry: &cqueue::Entry) -> Option<Event> {
        let key = entry.user_data() as u32;
        let more = cqueue::more(entry.flags());
        let result = match entry.result() {
            count @ 0.. => Ok(count as usize),
            error => Err(io::Error::from_raw_os_error(-error)),
        };
        Some(match Kind::of(entry.user_data()) {
            Kind::Accept => Event::Accepted(result.map(|number| {
                // SAFETY: the kernel made this descriptor for us, now.
                unsafe { OwnedFd::from_raw_fd(number as i32) }
            })),
            Kind::Receive => {
                let number = cqueue::buffer_select(entry.flags());
                let memory = number.and_then(|number| self.take(number));
                let memory = memory.unwrap_or_default();
                let result = result.map(|end| Buffer {
                    start: 0,
                    end: end.min(memory.len()),
                    memory,
                });
                Event::Received { key, result, more }
            }
            Kind::Send => Event::Sent {
                key,
                result,
                buffer: self.sending[key as usize].take()?,
            },
            Kind::Poll => Event::Readable,
            Kind::Tick => Event::Tick,
            Kind::Ignore => return None,
        })
    }

    // ANCHOR: pool
    /// The kernel has filled a buffer, and keeps away from it from now on.
    fn take(&mut self, number: u16) -> Option<Vec<u8>> {
        let memory = self.pool.get_mut(usize::from(number))?.take()?;
        self.empty.push(number);
        Some(memory)
    }

    /// Keeps the memory of a buffer that nobody needs any more.
    pub fn recycle(&mut self, buffer: Buffer) {
        let ours = buffer.memory.len() == BUFFER;
        if ours && self.spare.len() < usize::from(POOL) {
            self.spare.push(buffer.memory);
        }
    }

    /// Fills the pool, so that a peer that keeps its buffer takes nothing
    /// from the others.
    fn offer(&mut self) {
        if self.empty.is_empty() {
            return;
        }
        while let Some(number) = self.empty.pop() {
            let mut memory =
                self.spare.pop().unwrap_or_else(|| vec![0; BUFFER]);
            let offer = &self.offers.0[usize::from(self.offered % POOL)];
            let address = memory.as_mut_ptr() as u64;
            offer.address.store(address, Ordering::Relaxed);
            offer.length.store(BUFFER as u32, Ordering::Relaxed);
            offer.number.store(number, Ordering::Relaxed);
            self.pool[usize::from(number)] = Some(memory);
            self.offered = self.offered.wrapping_add(1);
        }
        // `Release`: who sees the count sees the offers too.
        let count = &self.offers.0[0].offered;
        count.store(self.offered, Ordering::Release);
    }
    // ANCHOR_END: pool
}

// ANCHOR: drop
impl Drop for Ring {
    /// The kernel ends the requests of a closed ring a little later, and may
    /// touch their memory until then. So that is never freed.
    fn drop(&mut self) {
        mem::forget(mem::take(&mut self.pool));
        mem::forget(mem::take(&mut self.sending));
    }
}
// ANCHOR_END: drop

/// What a completion completes. With the key it travels through the kernel and
/// back, as 64 bits that mean nothing to it.
#[derive(Clone, Copy)]
enum Kind {
    Ignore,
    Accept,
    Receive,
    Send,
    Poll,
    Tick,
}

fn user_data(kind: Kind, key: u32) -> u64 {
    (kind as u64) << 32 | u64::from(key)
}

impl Kind {
    fn of(user_data: u64) -> Kind {
        let kinds = [
            Kind::Ignore,
            Kind::Accept,
            Kind::Receive,
            Kind::Send,
            Kind::Poll,
            Kind::Tick,
        ];
        let kind = (user_data >> 32) as usize;
        kinds.get(kind).copied().unwrap_or(Kind::Ignore)
    }
}

fn fd(of: &impl AsFd) -> Fd {
    Fd(of.as_fd().as_raw_fd())
}
