mod support;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ferry::datagram::{BLOCK, Datagram, MAX_LENGTH, Message, crc32};
use support::{DEADLINE, Program, again};

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ferry-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn received(&self) -> Option<Vec<u8>> {
        fs::read(self.0.join("in/received")).ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server(folder: &Folder) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferry-server"));
    let mut server =
        Program::start(command.arg("127.0.0.1:0").arg(folder.0.join("in")));
    let addr = server.address();
    (server, addr)
}

fn client(addr: SocketAddr, file: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferry-client"));
    Program::start(command.arg(addr.to_string()).arg(file))
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * i / 7) as u8).collect()
}

fn peer_of(addr: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(addr).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn ask(socket: &UdpSocket, transfer: u64, message: Message) -> Vec<u8> {
    let datagram = Datagram { transfer, message };
    socket.send(&datagram.encode()).unwrap();
    let mut buffer = [0; 2000];
    let n = again(|| socket.recv(&mut buffer)).unwrap();
    buffer[..n].to_vec()
}

#[test]
fn files_of_every_size_arrive_whole() {
    let folder = Folder::new();
    let (mut server, addr) = server(&folder);
    for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 5, 3] {
        let path = folder.file("out", &content(length));
        let (status, stdout, stderr) = client(addr, &path).finish();
        assert!(status.success(), "{length}: {stderr:?}");
        let blocks = length.div_ceil(BLOCK);
        let said = format!("{length} bytes in {blocks} blocks, ");
        assert!(stdout[0].starts_with(&said), "{stdout:?}");
        assert!(folder.received() == Some(content(length)), "{length}");
        let log = server.log();
        assert!(log.ends_with(&format!(": stored {length} bytes")), "{log}");
    }
    assert!(!folder.0.join("in/received.part").exists());
}

/// A way to the server that loses, doubles and reorders.
struct Relay {
    addr: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Relay {
    fn start(server: SocketAddr, seed: u64) -> Relay {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = near.local_addr().unwrap();
        let far = peer_of(server);
        let over = Arc::new(AtomicBool::new(false));
        let client = Arc::new(Mutex::new(None));
        for (from, to, seed) in [(&near, &far, seed), (&far, &near, seed + 1)] {
            let from = from.try_clone().unwrap();
            let to = to.try_clone().unwrap();
            let (over, client) = (over.clone(), client.clone());
            thread::spawn(move || carry(&from, &to, seed, &over, &client));
        }
        Relay { addr, over }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn carry(
    from: &UdpSocket,
    to: &UdpSocket,
    mut random: u64,
    over: &AtomicBool,
    client: &Mutex<Option<SocketAddr>>,
) {
    // SplitMix64: https://prng.di.unimi.it/splitmix64.c
    let mut below = |limit: u64| {
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    };
    let mut due = BinaryHeap::new();
    let mut buffer = [0; 2000];
    from.set_read_timeout(Some(Duration::from_millis(2)))
        .unwrap();
    while !over.load(Ordering::Relaxed) {
        match from.recv_from(&mut buffer) {
            Ok((n, peer)) => {
                if to.peer_addr().is_ok() {
                    *client.lock().unwrap() = Some(peer);
                }
                for _ in 0..1 + u64::from(below(100) < 20) {
                    if below(100) >= 10 {
                        let delay = Duration::from_millis(below(40));
                        let at = Instant::now() + delay;
                        due.push(Reverse((at, buffer[..n].to_vec())));
                    }
                }
            }
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                        | ErrorKind::Interrupted
                        // A client that has ended.
                        | ErrorKind::ConnectionReset
                        | ErrorKind::ConnectionRefused
                ),
                "{error}"
            ),
        }
        while due
            .peek()
            .is_some_and(|Reverse((at, _))| *at <= Instant::now())
        {
            let Some(Reverse((_, bytes))) = due.pop() else {
                break;
            };
            // What can't be delivered is lost.
            let _ = match *client.lock().unwrap() {
                Some(client) if to.peer_addr().is_err() => {
                    to.send_to(&bytes, client)
                }
                _ => to.send(&bytes),
            };
        }
    }
}

#[test]
fn a_file_arrives_whole_over_a_bad_way() {
    let crossing = |seed: u64| {
        let folder = Folder::new();
        let (_server, addr) = server(&folder);
        let relay = Relay::start(addr, seed * 2);
        let file = content(3 * BLOCK + 1);
        let path = folder.file("out", &file);
        let (status, _, stderr) = client(relay.addr, &path).finish();
        assert!(status.success(), "seed {seed}: {stderr:?}");
        assert!(folder.received() == Some(file), "seed {seed}");
        stderr.len()
    };
    let crossings: Vec<_> = [2, 7, 8, 9, 10, 11, 12]
        .map(|seed| thread::spawn(move || crossing(seed)))
        .into();
    let again: usize = crossings.into_iter().map(|it| it.join().unwrap()).sum();
    assert!(again > 0, "nothing was lost, so this shows nothing");
}

#[test]
fn the_last_acknowledgment_is_said_again() {
    let folder = Folder::new();
    let (_server, addr) = server(&folder);
    let socket = peer_of(addr);
    let payload = b"all of it";
    let offer = Message::Offer {
        length: payload.len() as u32,
        checksum: crc32(payload),
    };
    let block = Message::Block { number: 1, payload };
    let ack = |number| {
        Datagram {
            transfer: 7,
            message: Message::Ack { number },
        }
        .encode()
    };
    assert_eq!(ask(&socket, 7, offer), ack(0));
    assert_eq!(folder.received(), None);
    for _ in 0..3 {
        assert_eq!(ask(&socket, 7, block), ack(1));
        assert_eq!(folder.received().as_deref(), Some(&payload[..]));
        // It is not stored again: what somebody does with it stays done.
        fs::write(folder.0.join("in/received"), payload).unwrap();
    }
}

#[test]
fn the_server_has_one_place_and_outlives_nonsense() {
    let folder = Folder::new();
    let (_server, addr) = server(&folder);
    let socket = peer_of(addr);
    for nonsense in [&b""[..], b"hello", &[0xff; 1500], b"FY1"] {
        socket.send(nonsense).unwrap();
    }
    let offer = Message::Offer {
        length: 5,
        checksum: 0,
    };
    ask(&socket, 7, offer);
    let path = folder.file("out", b"mine");
    let (status, _, stderr) = client(addr, &path).finish();
    assert!(!status.success());
    let said = format!(
        "ferry-client: send to {addr}: refused: it serves somebody else"
    );
    assert_eq!(stderr, [said]);

    // The block does not match the checksum, and the place is free again.
    let payload = b"lies!";
    ask(&socket, 7, Message::Block { number: 1, payload });
    let (status, _, stderr) = client(addr, &path).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(folder.received().as_deref(), Some(&b"mine"[..]));
}

#[test]
fn a_file_that_cannot_be_stored_is_not_acknowledged() {
    let folder = Folder::new();
    let (mut server, addr) = server(&folder);
    let path = folder.file("out", b"mine");
    fs::remove_dir(folder.0.join("in")).unwrap();
    let (status, _, stderr) = client(addr, &path).finish();
    assert!(!status.success());
    assert!(
        stderr[0].ends_with("refused: it could not store the file"),
        "{stderr:?}"
    );
    assert!(server.log().contains("received.part"));
}

#[test]
fn what_can_not_be_sent_is_named() {
    let folder = Folder::new();
    let (_server, addr) = server(&folder);
    let (status, _, stderr) = client(addr, &folder.0.join("none")).finish();
    assert!(!status.success());
    assert!(
        stderr[0].starts_with("ferry-client: read ")
            && stderr[0].contains("none: "),
        "{stderr:?}"
    );
    let path = folder.file("out", &vec![0; MAX_LENGTH + 1]);
    let (status, _, stderr) = client(addr, &path).finish();
    assert!(!status.success());
    assert!(stderr[0].ends_with("more than 4194304 bytes"), "{stderr:?}");
    assert_eq!(folder.received(), None);
}

/// The kernel passes on that nobody has the port, on Linux to a connected socket.
#[cfg(target_os = "linux")]
#[test]
fn a_port_where_nobody_is_refuses() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Connected to somebody else, it takes nothing from our client.
    taken.connect(elsewhere.local_addr().unwrap()).unwrap();
    let folder = Folder::new();
    let path = folder.file("out", b"mine");
    let (status, _, stderr) = client(addr, &path).finish();
    assert!(!status.success());
    let begin = format!("ferry-client: send to {addr}: ");
    let last = stderr.last().unwrap();
    assert!(
        last.starts_with(&begin) && last.contains("refused"),
        "{stderr:?}"
    );
}
