//! Connects to a name within one deadline, which the look-up and all the
//! addresses share.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A name decides how many addresses it has; we decide how many of them to try.
const MAX_ADDRESSES: usize = 32;

/// Connects to names. Make one for the whole program, and share it.
pub struct Connector {
    lookup: Arc<Lookup>,
    slots: Arc<Slots>,
}

type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

// ANCHOR: new
impl Connector {
    /// Asks the system's resolver, at most `max_lookups` times at once.
    pub fn new(max_lookups: usize) -> Connector {
        Connector::with_lookup(max_lookups, |target| {
            Ok(target.to_socket_addrs()?.collect())
        })
    }

    /// Asks `lookup` instead, which may take as long as it likes.
    pub fn with_lookup<F>(max_lookups: usize, lookup: F) -> Connector
    where
        F: Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    {
        Connector {
            lookup: Arc::new(lookup),
            slots: Arc::new(Slots::new(max_lookups.max(1))),
        }
    }
}
// ANCHOR_END: new

// ANCHOR: connect
impl Connector {
    /// Connects to `target`, such as `example.org:80`, within `limit`.
    ///
    /// The error names every address that was tried, and what came of it. Its
    /// kind is the kind of the last one; it is `TimedOut` if time ran out.
    pub fn connect(
        &self,
        target: &str,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        let deadline = Instant::now().checked_add(limit).ok_or_else(|| {
            explain(
                ErrorKind::InvalidInput,
                format!("connect to {target}: the limit {limit:?} is too long"),
            )
        })?;
        let failed = |what: &str, error: io::Error| {
            explain(error.kind(), format!("{what} {target}: {error}"))
        };
        let addrs = self
            .look_up(target, deadline)
            .map_err(|error| failed("look up", error))?;
        connect_to_any(&addrs, deadline)
            .map_err(|error| failed("connect to", error))
    }
}
// ANCHOR_END: connect

// ANCHOR: share
/// Tries one address after the other; those that are left share the time that
/// is left.
fn connect_to_any(
    addrs: &[SocketAddr],
    deadline: Instant,
) -> io::Result<TcpStream> {
    if addrs.is_empty() {
        return Err(explain(ErrorKind::NotFound, "the name has no addresses"));
    }
    let mut kind = ErrorKind::TimedOut;
    let mut causes = Vec::new();
    for (i, addr) in addrs.iter().enumerate() {
        let share = time_left(deadline) / (addrs.len() - i) as u32;
        if share.is_zero() {
            kind = ErrorKind::TimedOut;
            causes.push(format!("{addr}: not tried, no time left"));
            continue;
        }
        match TcpStream::connect_timeout(addr, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                kind = error.kind();
                causes.push(format!("{addr}: {error}"));
            }
        }
    }
    Err(explain(kind, causes.join("; ")))
}
// ANCHOR_END: share

impl Connector {
    // ANCHOR: look-up
    /// The first addresses of `target`, each once, in the resolver's order.
    fn look_up(
        &self,
        target: &str,
        deadline: Instant,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Ok(addr) = target.parse() {
            return Ok(vec![addr]); // nothing to ask
        }
        let slot = self.slots.take(deadline)?;
        if time_left(deadline).is_zero() {
            // Nobody would wait for the thread that we would leave behind.
            return Err(explain(ErrorKind::TimedOut, "no time left to ask"));
        }

        // A look-up can't be cancelled. A thread waits for it, and we for that.
        let (sender, receiver) = mpsc::sync_channel(1);
        let lookup = Arc::clone(&self.lookup);
        let name = target.to_string();
        thread::Builder::new().spawn(move || {
            // Given back when this thread ends, however it ends.
            let _slot = slot;
            // Fails if nobody waits any more.
            let _ = sender.send(lookup(&name));
        })?;

        let mut addrs = match receiver.recv_timeout(time_left(deadline)) {
            Ok(found) => found?,
            Err(RecvTimeoutError::Timeout) => {
                return Err(explain(ErrorKind::TimedOut, "no answer in time"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other(
                    "the look-up ended without an answer",
                ));
            }
        };
        let mut seen = HashSet::new();
        addrs.retain(|addr| seen.insert(*addr));
        addrs.truncate(MAX_ADDRESSES);
        Ok(addrs)
    }
    // ANCHOR_END: look-up
}

/// How many look-ups may run at a time, those that nobody waits for any more
/// included.
struct Slots {
    max: usize,
    free: Mutex<usize>,
    given_back: Condvar,
}

/// The right to run one look-up.
struct Slot(Arc<Slots>);

// ANCHOR: slots
impl Slots {
    /// Waits for a slot until the deadline.
    fn take(self: &Arc<Slots>, deadline: Instant) -> io::Result<Slot> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) = self
            .given_back
            .wait_timeout_while(free, time_left(deadline), |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if *free == 0 {
            let message = format!("all {} look-ups are still busy", self.max);
            return Err(explain(ErrorKind::TimedOut, message));
        }
        *free -= 1;
        Ok(Slot(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}
// ANCHOR_END: slots

impl Slots {
    fn new(max: usize) -> Slots {
        Slots {
            max,
            free: Mutex::new(max),
            given_back: Condvar::new(),
        }
    }
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn explain(kind: ErrorKind, message: impl Into<String>) -> io::Error {
    io::Error::new(kind, message.into())
}
