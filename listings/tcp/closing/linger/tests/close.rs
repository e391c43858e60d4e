//! In a process that starts no other: a child that is just being started still
//! holds our sockets, and then `drop` closes nothing.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// Far longer than anything here takes, so that only a hang meets it.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn with_a_linger_time_close_waits_for_a_peer_that_reads_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    let (peer, _) = listener.accept().unwrap();

    stream.set_nonblocking(true).unwrap();
    let piece = [0; 100_000];
    while stream.write(&piece).is_ok() {} // until the buffers are full
    stream.set_nonblocking(false).unwrap();
    let second = Duration::from_secs(1);
    SockRef::from(&stream).set_linger(Some(second)).unwrap();
    let start = Instant::now();
    drop(stream);
    let took = start.elapsed();
    assert!(took >= second * 9 / 10 && took < DEADLINE, "{took:?}");
    drop(peer);
}
