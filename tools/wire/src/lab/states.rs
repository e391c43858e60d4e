//! What states a host's TCP sockets go through, read from the kernel all the time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::host::{Host, states};
use crate::recording::{State, What};

/// How often the kernel is asked.
const EVERY: Duration = Duration::from_millis(1);
/// A state that is over sooner is seen in one run and missed in the next, so it is left out.
const SHORTEST: Duration = Duration::from_millis(10);

type Socket = (SocketAddr, SocketAddr);
type Seen = (Duration, Socket, State);

/// A thread that watches a host.
pub(super) struct Watch {
    host: usize,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Seen>>,
}

impl Watch {
    pub(super) fn start(index: usize, host: &Host, start: Instant) -> Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = host
            .run(move || {
                thread::Builder::new()
                    .name("states".to_string())
                    .spawn(move || watch(start, &stopped))
            })?
            .context("start a thread")?;
        Ok(Watch {
            host: index,
            stop,
            thread,
        })
    }

    /// Every change of a state, with its time.
    pub(super) fn finish(self) -> Vec<(Duration, What)> {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.thread.join().expect("the watch does not panic");
        lasting(seen)
            .into_iter()
            .map(|(at, (local, remote), state)| {
                let what = What::State {
                    host: self.host,
                    local,
                    remote,
                    state,
                };
                (at, what)
            })
            .collect()
    }
}

fn watch(start: Instant, stop: &AtomicBool) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut last: BTreeMap<Socket, State> = BTreeMap::new();
    while !stop.load(Ordering::SeqCst) {
        let at = start.elapsed();
        let now: BTreeMap<Socket, State> = states()
            .into_iter()
            .map(|(local, remote, state)| ((local, remote), state))
            .collect();
        for (socket, state) in &now {
            if last.get(socket) != Some(state) {
                seen.push((at, *socket, *state));
            }
        }
        for socket in last.keys().filter(|socket| !now.contains_key(*socket)) {
            seen.push((at, *socket, State::Closed));
        }
        last = now;
        thread::sleep(EVERY);
    }
    seen
}

/// Without the states that were over soon.
fn lasting(seen: Vec<Seen>) -> Vec<Seen> {
    let mut kept: Vec<Seen> = Vec::new();
    for (index, (at, socket, state)) in seen.iter().enumerate() {
        let next = seen[index + 1..]
            .iter()
            .find(|(_, other, _)| other == socket);
        let over = next.is_some_and(|(next, ..)| *next - *at < SHORTEST);
        let before = kept.iter().rev().find(|(_, other, _)| other == socket);
        let same = before.is_some_and(|(.., before)| before == state);
        if !over && !same {
            kept.push((*at, *socket, *state));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_soon_is_left_out() {
        let socket = |port: u16| {
            let end = |port| SocketAddr::from(([10, 0, 0, 1], port));
            (end(port), end(7001))
        };
        let seen = |ms, port, state| (Duration::from_millis(ms), socket(port), state);
        let all = vec![
            seen(0, 1, State::SynSent),
            seen(2, 2, State::SynSent),
            seen(40, 1, State::Established),
            seen(60, 1, State::CloseWait),
            seen(61, 1, State::LastAck),
            seen(61, 2, State::Established),
            seen(100, 1, State::Closed),
        ];
        let mut wanted = all.clone();
        wanted.remove(3);
        assert_eq!(lasting(all), wanted);
        let flicker = vec![
            seen(0, 1, State::Established),
            seen(19, 1, State::CloseWait),
            seen(20, 1, State::Established),
        ];
        assert_eq!(lasting(flicker.clone()), flicker[..1]);
    }
}
