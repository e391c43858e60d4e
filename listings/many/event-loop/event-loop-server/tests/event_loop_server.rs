mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use support::{DEADLINE, Program, again};

fn server(args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_event-loop-server"))
            .arg("127.0.0.1:0")
            .args(args),
    )
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends some bytes and waits for the same bytes.
fn ask(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut reply = vec![0; bytes.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, bytes);
}

fn numbered(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

#[test]
fn every_byte_returns_in_order_however_it_is_split() {
    let mut server = server(&[]);
    let mut stream = connect(server.address());
    let sent = numbered(3_000_000);
    let mut writer = stream.try_clone().unwrap();
    let expected = sent.clone();
    let sender = thread::spawn(move || {
        // Small pieces first, then one that no buffer holds.
        let (small, large) = sent.split_at(100_000);
        for (i, piece) in small.chunks(777).enumerate() {
            writer.write_all(&piece[..i % piece.len()]).unwrap();
            writer.write_all(&piece[i % piece.len()..]).unwrap();
        }
        writer.write_all(large).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert!(received == expected, "{} bytes came back", received.len());
}

#[test]
fn a_reply_arrives_after_half_close() {
    let mut server = server(&[]);
    let mut stream = connect(server.address());
    stream.write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "last words");
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": closed after 10 bytes"));
}

#[test]
fn five_hundred_clients_are_served_at_once() {
    let mut server = server(&[]);
    let addr = server.address();
    let mut clients: Vec<TcpStream> = (0..500).map(|_| connect(addr)).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.write_all(b"ping").unwrap();
        }
        for client in clients.iter_mut().rev() {
            let mut reply = [0; 4];
            client.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"ping");
        }
    }
}

#[test]
fn a_reset_ends_that_client_only() {
    let mut server = server(&[]);
    let addr = server.address();
    let mut other = connect(addr);
    let mut rude = connect(addr);
    ask(&mut rude, b"Hello");
    // Closing with a linger time of zero sends RST instead of FIN.
    SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    for _ in 0..2 {
        assert!(server.log().ends_with(": connected"));
    }
    let end = server.log();
    assert!(end.contains("reset"), "{end}");
    ask(&mut other, b"still here");
}

/// Sends until nothing goes any more for a while; returns how much that was.
fn stuff(stream: &mut TcpStream) -> usize {
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let piece = numbered(251 * 200);
    let mut sent = 0;
    loop {
        // After a part the next piece goes on where this one stopped.
        match again(|| stream.write(&piece[sent % piece.len()..])) {
            Ok(n) => sent += n,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut
                    ),
                    "{error}"
                );
                return sent;
            }
        }
    }
}

#[test]
fn a_client_that_does_not_read_stops_only_itself() {
    let mut server = server(&[]);
    let addr = server.address();
    let mut other = connect(addr);
    let mut greedy = connect(addr);
    let before = memory(server.id());
    let sent = stuff(&mut greedy);
    ask(&mut other, b"quick");
    if let (Some(before), Some(after)) = (before, memory(server.id())) {
        // In KiB. The kernels' buffers hold far more than the server.
        assert!(after - before < 1024, "from {before} to {after} KiB");
    }

    // And when it reads at last, nothing is missing.
    greedy.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    greedy.read_to_end(&mut received).unwrap();
    assert!(received == numbered(sent), "{} of {sent}", received.len());
}

/// The memory that is the process's own, in KiB, where the system tells.
fn memory(id: u32) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn at_the_limit_the_next_one_waits_until_somebody_leaves() {
    let mut server = server(&["2"]);
    let addr = server.address();
    let mut first = connect(addr);
    let mut second = connect(addr);
    ask(&mut first, b"one");
    ask(&mut second, b"two");

    let mut third = connect(addr);
    third.write_all(b"three").unwrap();
    third
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = again(|| third.read(&mut [0; 5])).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );

    drop(first);
    third.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reply = [0; 5];
    again(|| third.read_exact(&mut reply)).unwrap();
    assert_eq!(&reply, b"three");
    ask(&mut second, b"two again");
}

#[test]
fn a_silent_client_is_dismissed_and_a_talking_one_stays() {
    let limit = Duration::from_millis(500);
    for _ in 0..20 {
        let mut server = server(&["10", "500"]);
        let addr = server.address();
        let mut silent = connect(addr);
        let silent_addr = silent.local_addr().unwrap();
        let talker = thread::spawn(move || talk(addr, 2 * limit));
        let dismissed = format!("{silent_addr}: no progress for {limit:?}");
        while server.log() != dismissed {}
        assert_eq!(again(|| silent.read(&mut [0; 1])).unwrap(), 0);
        let (stayed, slowest) = talker.join().unwrap();
        if stayed {
            return;
        }
        // On a busy machine it may have been silent itself. The server sees no
        // silence that is longer than two of its pauses.
        assert!(slowest > limit / 2, "dismissed, with pauses of {slowest:?}");
    }
    panic!("the machine is too busy for a client that talks all the time");
}

/// Says something each 20 ms, for that long; returns whether it was answered
/// to the end, and the longest time from one answer to the next.
fn talk(addr: SocketAddr, time: Duration) -> (bool, Duration) {
    let mut stream = connect(addr);
    let begun = Instant::now();
    let (mut last, mut slowest) = (begun, Duration::ZERO);
    while begun.elapsed() < time {
        let answered = stream
            .write_all(b"!")
            .and_then(|()| stream.read_exact(&mut [0]));
        slowest = slowest.max(last.elapsed());
        if answered.is_err() {
            return (false, slowest);
        }
        last = Instant::now();
        thread::sleep(Duration::from_millis(20));
    }
    (true, slowest)
}

#[test]
fn a_client_that_never_reads_is_dismissed_too() {
    let mut server = server(&["10", "500"]);
    let mut greedy = connect(server.address());
    assert!(server.log().ends_with(": connected"));
    while greedy.write(&[0; 65536]).is_ok() {}
    let end = server.log();
    assert!(end.ends_with(": no progress for 500ms"), "{end}");
}

#[test]
fn arguments_are_numbers_above_zero() {
    for (args, what) in [
        (&["0"][..], "0 as a number of connections: "),
        (&["many"], "many as a number of connections: "),
        (&["1", "0"], "0 as a number of milliseconds: "),
        (&["1", "-1"], "-1 as a number of milliseconds: "),
        (&["1", "60000", "0"], "0 as a number of milliseconds: "),
    ] {
        let (status, stdout, stderr) = server(args).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(
            stderr[0].starts_with(&format!("event-loop-server: {what}")),
            "{stderr:?}"
        );
    }
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (status, stdout, stderr) = Program::start(
        Command::new(env!("CARGO_BIN_EXE_event-loop-server")).arg(&addr),
    )
    .finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("event-loop-server: bind {addr}: ")),
        "{stderr:?}"
    );
}

/// What only Unix, or only Linux, lets a test provoke.
#[cfg(unix)]
mod unix {
    use super::*;

    fn signal(server: &Program, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &server.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    #[test]
    fn the_last_bytes_and_the_end_may_come_together() {
        let mut server = server(&[]);
        let mut stream = connect(server.address());
        ask(&mut stream, b"first");
        // While the server stands still, both arrive.
        signal(&server, "STOP");
        stream.write_all(b"last words").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        signal(&server, "CONT");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "last words");
    }

    #[test]
    fn urgent_data_hides_nothing() {
        let mut server = server(&[]);
        let mut stream = connect(server.address());
        ask(&mut stream, b"first");
        signal(&server, "STOP");
        stream.write_all(b"before").unwrap();
        SockRef::from(&stream).send_out_of_band(b"!").unwrap();
        stream.write_all(b"behind").unwrap();
        signal(&server, "CONT");
        // The urgent byte itself is no part of the stream.
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"beforebehind");
    }

    #[test]
    fn a_stopped_server_answers_what_had_arrived_and_says_goodbye() {
        let answers = |name: &str| {
            let mut server = server(&[]);
            let addr = server.address();
            let mut silent = connect(addr);
            let mut asking = connect(addr);
            let mut slow = connect(addr);
            ask(&mut silent, b"a");
            ask(&mut asking, b"b");
            let sent = stuff(&mut slow);

            signal(&server, "STOP");
            asking.write_all(b"just in time").unwrap();
            signal(&server, name);
            signal(&server, "CONT");

            let mut reply = Vec::new();
            silent.read_to_end(&mut reply).unwrap();
            assert_eq!(reply, b"");
            asking.read_to_end(&mut reply).unwrap();
            assert_eq!(reply, b"just in time");
            // What comes too late is read and thrown away, so that no reset
            // destroys what we have not read yet.
            asking.write_all(b"too late").unwrap();
            reply.clear();
            slow.read_to_end(&mut reply).unwrap();
            assert!(reply.len() <= sent);
            assert!(reply == numbered(reply.len()));

            drop((silent, asking, slow));
            let (status, stdout, stderr) = server.finish();
            assert!(status.success(), "{stderr:?}");
            assert_eq!(stdout, [] as [&str; 0]);
            assert_eq!(stderr.last().unwrap(), "served 3 connections");
            assert!(TcpStream::connect_timeout(&addr, DEADLINE).is_err());
        };
        thread::scope(|scope| {
            for name in ["INT", "TERM"] {
                scope.spawn(move || answers(name));
            }
        });
    }

    #[test]
    fn somebody_who_stays_is_cut_off_after_the_grace() {
        let mut server = server(&["10", "60000", "300"]);
        let mut stubborn = connect(server.address());
        ask(&mut stubborn, b"hello");
        signal(&server, "TERM");
        let mut reply = Vec::new();
        stubborn.read_to_end(&mut reply).unwrap();
        // It has read our end, and keeps its own open.
        let (status, _, stderr) = server.finish();
        assert!(status.success(), "{stderr:?}");
        let [.., cut, served] = &stderr[..] else {
            panic!("{stderr:?}")
        };
        assert!(cut.ends_with(": cut off after 300ms of grace"), "{cut}");
        assert_eq!(served, "served 1 connections");
    }

    #[test]
    fn a_server_without_clients_stops_at_once() {
        let mut server = server(&[]);
        server.address();
        signal(&server, "INT");
        let (status, _, stderr) = server.finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stderr, ["served 0 connections"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_log_that_cannot_be_written_ends_no_server() {
        let mut server = Program::start(
            Command::new("sh")
                .args(["-c", r#"exec "$0" 127.0.0.1:0 2>/dev/full"#])
                .arg(env!("CARGO_BIN_EXE_event-loop-server")),
        );
        let addr = server.address();
        for _ in 0..2 {
            ask(&mut connect(addr), b"Hello, world");
        }
    }

    /// Nanoseconds of processor time that the process has used.
    #[cfg(target_os = "linux")]
    fn used(server: &Program) -> u64 {
        let path = format!("/proc/{}/schedstat", server.id());
        let text = std::fs::read_to_string(path).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn idle_clients_cost_no_processor_time_and_little_memory() {
        let mut server = server(&[]);
        let addr = server.address();
        ask(&mut connect(addr), b"hello");
        let empty = memory(server.id()).unwrap();
        let mut clients: Vec<TcpStream> =
            (0..400).map(|_| connect(addr)).collect();
        for client in &mut clients {
            ask(client, b"hello");
        }
        let full = memory(server.id()).unwrap();
        assert!(full - empty < 400, "from {empty} to {full} KiB");
        let before = used(&server);
        thread::sleep(Duration::from_secs(1));
        let spent = used(&server) - before;
        assert!(spent < 1_000_000, "{spent} ns in a second");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn without_descriptors_the_server_waits_and_recovers() {
        let limit = |server: &Program, count: &str| {
            Command::new("prlimit")
                .args(["--pid", &server.id().to_string()])
                .arg(format!("--nofile={count}:1024"))
                .status()
        };
        let mut server = server(&[]);
        let addr = server.address();
        let mut first = connect(addr);
        ask(&mut first, b"first");
        assert!(server.log().ends_with(": connected"));
        // The lowest number that is free is the one that `accept` would get.
        let free = |fd: &u32| {
            let path = format!("/proc/{}/fd/{fd}", server.id());
            std::fs::symlink_metadata(path).is_err()
        };
        let open = (0..).find(free).unwrap().to_string();
        match limit(&server, &open) {
            Ok(status) => assert!(status.success()),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "prlimit: {error}");
                eprintln!("skipped: prlimit, of util-linux, is missing");
                return;
            }
        }
        let mut waiting: Vec<TcpStream> =
            (0..3).map(|_| connect(addr)).collect();
        let failure = server.log();
        assert!(failure.starts_with("accept: Too many open"), "{failure}");
        let before = used(&server);
        thread::sleep(Duration::from_secs(1));
        let spent = used(&server) - before;
        assert!(spent < 20_000_000, "{spent} ns in a second");
        ask(&mut first, b"still served");

        // One descriptor comes back, and one client gets it.
        drop(first);
        assert!(server.log().ends_with(": closed after 17 bytes"));
        ask(&mut waiting[0], b"second");
        assert!(server.log().ends_with(": connected"));

        // They come back without anybody leaving.
        assert!(limit(&server, "1024").unwrap().success());
        for client in &mut waiting {
            ask(client, b"third");
        }
        // There was one complaint in all this time.
        for _ in 0..2 {
            assert!(server.log().ends_with(": connected"));
        }
    }
}
