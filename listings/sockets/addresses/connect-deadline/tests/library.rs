use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use connect_deadline::Connector;
use socket2::{Domain, Socket, Type};

/// Far longer than anything here takes, so that only a hang meets it.
const DEADLINE: Duration = Duration::from_secs(30);

/// A limit for what is meant to run into it.
const SHORT: Duration = Duration::from_millis(100);

/// A look-up that gives these addresses at once.
fn finds(addrs: &[SocketAddr]) -> Connector {
    let addrs = addrs.to_vec();
    Connector::with_lookup(1, move |_| Ok(addrs.clone()))
}

/// A look-up that answers only when it is let go, and counts how many times it was asked.
struct Stuck {
    connector: Arc<Connector>,
    asked: Arc<AtomicUsize>,
    let_go: Sender<Vec<SocketAddr>>,
}

fn stuck(max_lookups: usize) -> Stuck {
    let (let_go, gate): (_, Receiver<Vec<SocketAddr>>) = mpsc::channel();
    let gate = Mutex::new(gate);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let connector = Connector::with_lookup(max_lookups, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let gate = gate.lock().map_err(|_| io::Error::other("poisoned"))?;
        gate.recv_timeout(DEADLINE).map_err(io::Error::other)
    });
    Stuck {
        connector: Arc::new(connector),
        asked,
        let_go,
    }
}

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Bound but not listening: nobody else can take the port, and nobody answers.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// A listening socket whose queue is full, and the client that fills it. Linux drops whatever
/// else comes, without a word, so this address never answers.
#[cfg(target_os = "linux")]
fn silent() -> ((Socket, std::net::TcpStream), SocketAddr) {
    let (listener, addr) = refusing();
    listener.listen(0).unwrap(); // the queue holds one
    let client = std::net::TcpStream::connect_timeout(&addr, DEADLINE).unwrap();

    // The handshake is over for the client; wait until the kernel says so for the queue.
    let port = format!(":{:04X} ", addr.port());
    let queued = || {
        let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        sockets.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // Number, local and remote address, state (0A: LISTEN), send and receive queue.
            line.contains(&port)
                && fields[3] == "0A"
                && fields[4].ends_with(":00000001")
        })
    };
    let until = Instant::now() + DEADLINE;
    while !queued() {
        assert!(Instant::now() < until, "the queue does not fill");
        thread::sleep(Duration::from_millis(1));
    }
    ((listener, client), addr)
}

#[test]
fn a_name_is_looked_up_and_connected() {
    let (_listener, addr) = listening();
    let stream = finds(&[addr]).connect("some.test:80", DEADLINE).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
}

#[test]
fn a_numeric_address_needs_no_look_up() {
    let (_listener, addr) = listening();
    let connector =
        Connector::with_lookup(1, |target| panic!("asked for {target}"));
    let stream = connector.connect(&addr.to_string(), DEADLINE).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
}

#[test]
fn the_system_s_resolver_knows_localhost() {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let target = format!("localhost:{}", addr.port());
    let stream = Connector::new(1).connect(&target, DEADLINE).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
}

#[test]
fn a_look_up_that_never_ends_is_left_at_the_deadline() {
    let stuck = stuck(1);
    let start = Instant::now();
    let error = stuck.connector.connect("some.test:80", SHORT).unwrap_err();
    let took = start.elapsed();
    assert!(took >= SHORT && took < DEADLINE / 2, "{took:?}");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "look up some.test:80: no answer in time");
}

#[test]
fn abandoned_look_ups_are_bounded_and_give_their_slots_back() {
    let stuck = stuck(2);
    let ask = || stuck.connector.connect("some.test:80", SHORT).unwrap_err();
    for _ in 0..2 {
        assert!(ask().to_string().ends_with("no answer in time"));
    }
    for _ in 0..3 {
        let error = ask();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "look up some.test:80: all 2 look-ups are still busy"
        );
    }
    assert!(stuck.asked.load(Ordering::SeqCst) <= 2);

    // The two threads that nobody waits for find their answers, and end.
    let (_listener, addr) = listening();
    for _ in 0..3 {
        stuck.let_go.send(vec![addr]).unwrap();
    }
    let stream = stuck.connector.connect("some.test:80", DEADLINE).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
}

#[test]
fn a_call_waits_for_a_slot_as_long_as_it_has_time() {
    let stuck = stuck(1);
    let (_listener, addr) = listening();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let connector = Arc::clone(&stuck.connector);
            thread::spawn(move || connector.connect("some.test:80", DEADLINE))
        })
        .collect();
    for _ in 0..8 {
        stuck.let_go.send(vec![addr]).unwrap();
    }
    for call in calls {
        assert_eq!(call.join().unwrap().unwrap().peer_addr().unwrap(), addr);
    }
    assert_eq!(stuck.asked.load(Ordering::SeqCst), 8);
}

#[test]
fn a_look_up_that_fails_says_why() {
    let connector =
        Connector::with_lookup(1, |_| Err(io::Error::other("no such name")));
    for _ in 0..2 {
        let error = connector.connect("some.test:80", DEADLINE).unwrap_err();
        assert_eq!(error.to_string(), "look up some.test:80: no such name");
    }
}

#[test]
fn a_look_up_that_panics_is_an_error_and_gives_its_slot_back() {
    let connector = Connector::with_lookup(1, |_| panic!("on purpose"));
    for _ in 0..2 {
        let error = connector.connect("some.test:80", DEADLINE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "look up some.test:80: the look-up ended without an answer"
        );
    }
}

#[test]
fn a_name_without_addresses_is_not_found() {
    let error = finds(&[]).connect("some.test:80", DEADLINE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "connect to some.test:80: the name has no addresses"
    );
}

#[test]
fn the_error_names_every_address_once_and_its_cause() {
    let (_one, first) = refusing();
    let (_two, second) = refusing();
    let error = finds(&[first, second, first])
        .connect("some.test:80", DEADLINE)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let message = error.to_string();
    assert!(
        message.starts_with("connect to some.test:80: "),
        "{message}"
    );
    assert_eq!(
        message.matches(&format!("{first}: ")).count(),
        1,
        "{message}"
    );
    assert_eq!(
        message.matches(&format!("{second}: ")).count(),
        1,
        "{message}"
    );
}

#[test]
#[cfg(target_os = "linux")] // where all of these are addresses of this host
fn a_name_with_very_many_addresses_is_cut_short() {
    let (_socket, refuses) = refusing();
    let addrs: Vec<SocketAddr> = (1..=255)
        .map(|last| SocketAddr::from(([127, 0, 0, last], refuses.port())))
        .collect();
    let error = finds(&addrs).connect("some.test:80", DEADLINE).unwrap_err();
    assert_eq!(error.to_string().split("; ").count(), 32, "{error}");
}

#[test]
fn without_any_time_nothing_is_tried() {
    let (_listener, addr) = listening();
    let error = Connector::new(1)
        .connect(&addr.to_string(), Duration::ZERO)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        format!("connect to {addr}: {addr}: not tried, no time left")
    );
}

#[test]
fn without_any_time_no_look_up_is_begun() {
    let connector =
        Connector::with_lookup(1, |target| panic!("asked for {target}"));
    let error = connector
        .connect("some.test:80", Duration::ZERO)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "look up some.test:80: no time left to ask"
    );
}

#[test]
fn a_limit_beyond_the_clock_is_refused() {
    let error = Connector::new(1)
        .connect("127.0.0.1:80", Duration::MAX)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let message = error.to_string();
    assert!(
        message.starts_with("connect to 127.0.0.1:80: "),
        "{message}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_silent_address_leaves_time_for_the_next() {
    let (_full, silent) = silent();
    let (_listener, answers) = listening();
    let limit = Duration::from_secs(2); // half of it is far more than connecting takes
    let start = Instant::now();
    let stream = finds(&[silent, answers])
        .connect("some.test:80", limit)
        .unwrap();
    assert_eq!(stream.peer_addr().unwrap(), answers);
    assert!(
        start.elapsed() >= limit / 2,
        "the first had half of the time"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn silent_addresses_share_the_time_that_the_look_up_left() {
    let all: Vec<_> = (0..8).map(|_| silent()).collect();
    let addrs: Vec<SocketAddr> = all.iter().map(|(_, addr)| *addr).collect();
    let limit = Duration::from_secs(1);
    let found = addrs.clone();
    let connector = Connector::with_lookup(1, move |_| {
        thread::sleep(limit / 4); // a slow resolver
        Ok(found.clone())
    });
    let start = Instant::now();
    let error = connector.connect("some.test:80", limit).unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    for addr in addrs {
        assert!(error.to_string().contains(&format!("{addr}: ")), "{error}");
    }
    // A limit for each, after the look-up, would have made it 8 s.
    assert!(took >= limit && took < 3 * limit, "{took:?}");
}
