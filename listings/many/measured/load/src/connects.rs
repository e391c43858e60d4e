//! Connections that come and go: connect, one message, close.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use load::exchange::PATIENCE;
use load::linux::{self, Done, Ring};
use load::options::Options;
use load::pattern::Pattern;
use load::watch::{Report, Window};
use socket2::{Domain, SockAddr, Socket, Type};

/// One connection of those that are there at once.
struct Slot {
    socket: Option<Socket>,
    begun: Instant,
    received: u64,
}

// ANCHOR: sources
/// Who closes first keeps the port in TIME-WAIT for a minute, and that is us.
/// There are about 28,000 ports for one pair of addresses. So on loopback,
/// where all of 127/8 is ours, each connection comes from another address.
fn source(addr: SocketAddr, count: u64) -> Option<SocketAddr> {
    if addr.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return None;
    }
    let [high, low] = (count as u16 % 4096 + 256).to_be_bytes();
    Some(SocketAddr::from(([127, 1, high, low], 0)))
}
// ANCHOR_END: sources

// ANCHOR: connects
pub fn run(options: &Options) -> Result<Report> {
    let addr = options.addr;
    let pattern = Pattern::new();
    let to: &'static SockAddr = Box::leak(Box::new(SockAddr::from(addr)));
    let mut ring = Ring::new(options.connections * 2, 4096)?;
    let mut window = Window::new(options)?;
    let (mut count, mut errors, mut total) = (0, 0, 0);
    let mut slots: Vec<Slot> = Vec::new();
    for _ in 0..options.connections {
        slots.push(Slot {
            socket: None,
            begun: Instant::now(),
            received: 0,
        });
    }
    let mut open = 0;
    let mut heard = Instant::now();
    let mut idle: Vec<usize> = (0..slots.len()).collect();
    loop {
        let now = Instant::now();
        let over = window.is_over(now)?;
        while let (Some(number), false) = (idle.pop(), over) {
            let socket = socket(addr, count)
                .with_context(|| format!("connect to {addr}"))?;
            count += 1;
            let slot = &mut slots[number];
            (slot.begun, slot.received) = (Instant::now(), 0);
            let bytes = pattern.bytes(number, 0, options.size);
            let socket = slot.socket.insert(socket);
            ring.call(number as u32, socket, to, bytes)?;
            open += 1;
        }
        if over && open == 0 {
            break;
        }
        ring.wait(Duration::from_millis(100))?;
        let now = Instant::now();
        while let Some(done) = ring.take() {
            heard = now;
            match done {
                Done::Received { token, buffer, .. } => {
                    let number = token as usize;
                    let slot = &mut slots[number];
                    let bytes = ring.bytes(&buffer);
                    pattern.check(number, slot.received, bytes)?;
                    slot.received += bytes.len() as u64;
                    ring.give_back(buffer);
                    if slot.received < options.size as u64 {
                        if let Some(socket) = &slot.socket {
                            ring.receive_once(token, socket)?;
                        }
                        continue;
                    }
                    // The answer is whole: close.
                    slot.socket = None;
                    window.record(slot.begun, now);
                    total += 1;
                    open -= 1;
                    idle.push(number);
                }
                Done::Starved { token } => {
                    if let Some(socket) = &slots[token as usize].socket {
                        ring.receive_once(token, socket)?;
                    }
                }
                Done::Ended { token } | Done::Failed { token, .. } => {
                    if total == 0 {
                        let cause = match done {
                            Done::Failed { error, .. } => error,
                            _ => io::ErrorKind::UnexpectedEof.into(),
                        };
                        return Err(cause)
                            .with_context(|| format!("connect to {addr}"));
                    }
                    errors += 1;
                    slots[token as usize].socket = None;
                    open -= 1;
                    idle.push(token as usize);
                }
                Done::Sent { .. } => {}
            }
        }
        if now - heard > PATIENCE {
            bail!("{addr} has answered nothing for {PATIENCE:?}");
        }
    }
    let mut report = window.report();
    report.errors = errors;
    report.total = total;
    Ok(report)
}

fn socket(addr: SocketAddr, count: u64) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    linux::plain(&socket)?;
    if let Some(source) = source(addr, count) {
        linux::bind_address(&socket, source)?;
    }
    Ok(socket)
}
// ANCHOR_END: connects
