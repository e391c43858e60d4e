//! What needs the kernel itself: io_uring, a core of our own, the limit of
//! descriptors. All `unsafe` code of this package is here.

use std::alloc::{self, Layout};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{BufRingEntry, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use socket2::{SockAddr, SockRef, Socket};

/// How many requests can wait to be handed to the kernel together.
const ENTRIES: u32 = 4096;

/// Memory for what arrives, in all buffers together.
const MEMORY: usize = 16 << 20;

/// The number of our group of buffers. There is one.
const GROUP: u16 = 0;

/// What has happened. The `token` is the one of the request.
#[derive(Debug)]
pub enum Done {
    /// Bytes have arrived. `is_last`: no more will, unless they are asked for
    /// again.
    Received {
        token: u32,
        buffer: Buffer,
        is_last: bool,
    },
    /// The peer has ended its stream.
    Ended {
        token: u32,
    },
    /// A send that was to be reported has taken all its bytes.
    Sent {
        token: u32,
    },
    /// There was no buffer for what has arrived: ask again.
    Starved {
        token: u32,
    },
    Failed {
        token: u32,
        error: io::Error,
    },
}

/// Bytes that have arrived, in a buffer that is ours until it is given back.
#[derive(Debug)]
pub struct Buffer {
    id: u16,
    len: usize,
}

const RECEIVE: u64 = 0;
const SEND: u64 = 1;
const CONNECT: u64 = 2;

fn tag(kind: u64, token: u32) -> u64 {
    kind << 32 | u64::from(token)
}

/// An io_uring that sends from memory that is never freed, and receives into
/// buffers that it shares with the kernel.
pub struct Ring {
    ring: IoUring,
    /// A ring of buffers that the kernel may fill, `count` long.
    entries: *mut BufRingEntry,
    memory: *mut u8,
    count: u16,
    buffer: usize,
    /// How many buffers were handed to the kernel, since the beginning.
    tail: u16,
}

impl Ring {
    /// `expected` is about how many things can happen at once, `buffer` how
    /// many bytes one of them can bring.
    pub fn new(expected: usize, buffer: usize) -> Result<Ring> {
        let completions = (expected * 4).clamp(8192, 1 << 16) as u32;
        let ring = IoUring::builder()
            // All requests come from this thread, ...
            .setup_single_issuer()
            // ... work is done when it asks for results, not in between, ...
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            // ... and one bad request does not hold up the others.
            .setup_submit_all()
            .setup_cqsize(completions.next_power_of_two())
            .build(ENTRIES)
            .context("io_uring, which needs Linux 6.1 and permission")?;

        let count = (MEMORY / buffer).clamp(16, 4096).next_power_of_two();
        // The memory is never freed: the kernel may write to it for as long
        // as there are requests.
        let entries = allocate(count * mem::size_of::<BufRingEntry>())?;
        let memory = allocate(count * buffer)?;
        let mut ring = Ring {
            ring,
            entries: entries.cast(),
            memory,
            count: count as u16,
            buffer,
            tail: 0,
        };
        // SAFETY: the ring of buffers is page-aligned, has room for `count`
        // entries, and is never freed.
        unsafe {
            ring.ring.submitter().register_buf_ring_with_flags(
                entries as u64,
                ring.count,
                GROUP,
                0,
            )
        }
        .context("register a ring of buffers with io_uring")?;
        for id in 0..ring.count {
            ring.give_back(Buffer { id, len: 0 });
        }
        Ok(ring)
    }

    /// Makes the sockets known to the kernel under their places in this list,
    /// which are then used as tokens. The ring holds them open from now on.
    pub fn register(&mut self, sockets: &[RawFd]) -> Result<()> {
        self.ring
            .submitter()
            .register_files(sockets)
            .with_context(|| {
                format!("register {} sockets with io_uring", sockets.len())
            })
    }

    // ANCHOR: requests
    /// Asks for all that arrives on a registered socket, once for all times.
    pub fn receive_all(&mut self, token: u32) -> Result<()> {
        let receive = opcode::RecvMulti::new(Fixed(token), GROUP).build();
        self.push(receive.user_data(tag(RECEIVE, token)))
    }

    /// Sends on a registered socket. Only one send at a time: two could
    /// overtake each other. Without `report` nothing is said unless it fails.
    pub fn send(
        &mut self,
        token: u32,
        bytes: &'static [u8],
        report: bool,
    ) -> Result<()> {
        let len = bytes.len() as u32;
        let send = opcode::Send::new(Fixed(token), bytes.as_ptr(), len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        let quiet = match report {
            true => Flags::empty(),
            false => Flags::SKIP_SUCCESS,
        };
        self.push(send.flags(quiet).user_data(tag(SEND, token)))
    }

    /// Connects, sends, and receives once. Each begins when the one before it
    /// has succeeded; if one fails, those after it are cancelled.
    ///
    /// `socket` must stay open until bytes, an end or a failure are reported.
    pub fn call(
        &mut self,
        token: u32,
        socket: &Socket,
        addr: &'static SockAddr,
        bytes: &'static [u8],
    ) -> Result<()> {
        let fd = Fd(socket.as_raw_fd());
        let connect =
            opcode::Connect::new(fd, addr.as_ptr().cast(), addr.len())
                .build()
                .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
                .user_data(tag(CONNECT, token));
        let send = opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
            .user_data(tag(SEND, token));
        // A chain is handed over as a whole, or it would be torn.
        self.make_room(3)?;
        self.push(connect)?;
        self.push(send)?;
        self.receive_once(token, socket)
    }

    /// Asks for what arrives next on a socket that must stay open until then.
    pub fn receive_once(&mut self, token: u32, socket: &Socket) -> Result<()> {
        let fd = Fd(socket.as_raw_fd());
        let receive =
            opcode::Recv::new(fd, std::ptr::null_mut(), self.buffer as u32)
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT)
                .user_data(tag(RECEIVE, token));
        self.push(receive)
    }
    // ANCHOR_END: requests

    fn make_room(&mut self, wanted: usize) -> Result<()> {
        let sq = self.ring.submission();
        let room = sq.capacity() - sq.len();
        drop(sq);
        if room < wanted {
            self.ring.submit().context("io_uring_enter")?;
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> Result<()> {
        self.make_room(1)?;
        // SAFETY: what is sent is never freed, what is received goes into
        // buffers that are never freed, addresses are never freed.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.context("the queue of io_uring is full")
    }

    // ANCHOR: wait
    /// Hands all requests to the kernel, and waits until something has
    /// happened or the time is over. One system call.
    pub fn wait(&mut self, patience: Duration) -> Result<()> {
        self.publish();
        let submitter = self.ring.submitter();
        let entered = if patience.is_zero() {
            submitter.submit()
        } else {
            let patience = Timespec::from(patience);
            let args = SubmitArgs::new().timespec(&patience);
            submitter.submit_with_args(1, &args)
        };
        match entered.map_err(|error| (error.raw_os_error(), error)) {
            // The time is over, a signal came, or results are to be read
            // first.
            Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY), _)) => Ok(()),
            Err((_, error)) => Err(error).context("io_uring_enter"),
            Ok(_) => Ok(()),
        }
    }

    /// The next of the things that have happened.
    pub fn take(&mut self) -> Option<Done> {
        loop {
            let entry = self.ring.completion().next()?;
            let token = entry.user_data() as u32;
            let kind = entry.user_data() >> 32;
            let error = match entry.result() {
                result if result >= 0 => None,
                result => Some(io::Error::from_raw_os_error(-result)),
            };
            return Some(match (kind, error) {
                // What comes after a failure in a chain was cancelled.
                (_, Some(error))
                    if error.raw_os_error() == Some(libc::ECANCELED) =>
                {
                    continue;
                }
                (RECEIVE, Some(error))
                    if error.raw_os_error() == Some(libc::ENOBUFS) =>
                {
                    Done::Starved { token }
                }
                (_, Some(error)) => Done::Failed { token, error },
                (SEND, None) => Done::Sent { token },
                (_, None) => match cqueue::buffer_select(entry.flags()) {
                    Some(id) if entry.result() > 0 => Done::Received {
                        token,
                        buffer: Buffer {
                            id,
                            len: entry.result() as usize,
                        },
                        is_last: !cqueue::more(entry.flags()),
                    },
                    // An empty buffer is still a buffer.
                    Some(id) => {
                        self.give_back(Buffer { id, len: 0 });
                        Done::Ended { token }
                    }
                    None => Done::Ended { token },
                },
            });
        }
    }
    // ANCHOR_END: wait

    /// What has arrived.
    pub fn bytes(&self, buffer: &Buffer) -> &[u8] {
        let start = usize::from(buffer.id) * self.buffer;
        // SAFETY: there is no `Buffer` that the kernel did not fill, and it
        // leaves the memory alone until the `Buffer` was given back.
        unsafe {
            std::slice::from_raw_parts(self.memory.add(start), buffer.len)
        }
    }

    /// Lets the kernel have a buffer again. It learns of it in `wait`.
    pub fn give_back(&mut self, buffer: Buffer) {
        let place = usize::from(self.tail & (self.count - 1));
        let start = usize::from(buffer.id) * self.buffer;
        // SAFETY: the place is inside of the ring of buffers, and the kernel
        // does not read it before the new tail was published.
        unsafe {
            let entry = &mut *self.entries.add(place);
            entry.set_addr(self.memory.add(start) as u64);
            entry.set_len(self.buffer as u32);
            entry.set_bid(buffer.id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lies in the first entry of the ring of buffers,
        // and the kernel only reads it.
        let tail =
            unsafe { &*BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Memory full of zeros, from the beginning of a page on.
fn allocate(size: usize) -> Result<*mut u8> {
    let layout = Layout::from_size_align(size, 4096)?;
    ensure!(size > 0, "no memory was asked for");
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc::alloc_zeroed(layout) };
    ensure!(!memory.is_null(), "there is no memory for {size} bytes");
    Ok(memory)
}

/// Lets this program run on one core only.
pub fn pin(core: usize) -> Result<()> {
    ensure!(core < libc::CPU_SETSIZE as usize, "there is no core {core}");
    // SAFETY: a set of cores is a set of bits, and all zeros is the empty
    // set. The kernel only reads it.
    let done = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, mem::size_of_val(&set), &set)
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error())
            .with_context(|| format!("run on core {core}")),
    }
}

// ANCHOR: descriptors
/// Raises the soft limit of descriptors as far as `connections` need it, up
/// to the hard limit.
pub fn raise_descriptor_limit(connections: usize) -> Result<()> {
    // The standard streams, the ring, and what is open for a moment.
    let needed = connections as libc::rlim_t + 64;
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills the struct.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error()).context("getrlimit");
    }
    if limit.rlim_cur >= needed {
        return Ok(());
    }
    if limit.rlim_max < needed {
        bail!(
            "{connections} connections need {needed} descriptors, and the \
             hard limit is {}; raise it with `ulimit -Hn {needed}` as root, \
             or in /etc/security/limits.conf",
            limit.rlim_max
        );
    }
    limit.rlim_cur = needed;
    // SAFETY: the kernel reads the struct.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error()).context("setrlimit");
    }
    Ok(())
}
// ANCHOR_END: descriptors

/// The congestion control that takes the least time, and never waits on
/// loopback. Each Linux has it, and each program may choose it.
pub fn plain(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_congestion(b"reno")
}

/// Binds a socket to an address, and leaves the choice of the port to
/// `connect`. It can then use one again that is taken for another peer.
pub fn bind_address(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option is an int, and the kernel reads one.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            std::ptr::from_ref(&on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.bind(&addr.into())
}
