mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use support::{DEADLINE, Program, again};

const SERVER: &str = env!("CARGO_BIN_EXE_pool-server");

fn server(more: &[&str]) -> Program {
    Program::start(Command::new(SERVER).arg("127.0.0.1:0").args(more))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, question: &[u8]) {
    stream.write_all(question).unwrap();
    let mut reply = vec![0; question.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, question);
}

/// Nothing comes within a short while.
fn is_kept_waiting(stream: &mut TcpStream) -> bool {
    let short = Duration::from_millis(200);
    stream.set_read_timeout(Some(short)).unwrap();
    let end = again(|| stream.read(&mut [0; 1]));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    end.is_err_and(|error| {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
    })
}

#[test]
fn every_byte_returns_in_order_however_it_is_split() {
    let mut server = server(&[]);
    let mut stream = connect(server.address());
    let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut writer = stream.try_clone().unwrap();
    let expected = sent.clone();
    let sender = thread::spawn(move || {
        for (i, piece) in sent.chunks(777).enumerate() {
            writer.write_all(&piece[..i % piece.len()]).unwrap();
            writer.write_all(&piece[i % piece.len()..]).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert_eq!(received, expected);
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
}

#[test]
fn a_client_is_served_while_others_are_silent() {
    let mut server = server(&[]);
    let addr = server.address();
    let mut silent: Vec<TcpStream> = (0..20).map(|_| connect(addr)).collect();
    let mut last = connect(addr);
    ask(&mut last, b"my turn");
    for stream in &mut silent {
        ask(stream, b"mine too");
    }
}

#[test]
fn a_client_that_never_reads_is_noticed_by_nobody_else() {
    let mut server = server(&["10", "300"]);
    let addr = server.address();
    let mut deaf = connect(addr);
    let writer = thread::spawn(move || {
        let mut taken = 0;
        while let Ok(n) = deaf.write(&[0; 65536]) {
            taken += n;
        }
        taken
    });
    let mut other = connect(addr);
    for _ in 0..100 {
        ask(&mut other, b"still here?");
    }
    drop(other);
    let mut end = server.log();
    while !end.ends_with(": no progress for 300ms") {
        end = server.log();
    }
    writer.join().unwrap();
}

#[test]
fn a_reset_ends_that_client_only() {
    let mut server = server(&[]);
    let addr = server.address();
    let mut rude = connect(addr);
    ask(&mut rude, b"Hello");
    assert!(server.log().ends_with(": connected"));
    // Closing with a linger time of zero sends RST instead of FIN.
    SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    let end = server.log();
    assert!(end.contains("reset"), "{end}");
    ask(&mut connect(addr), b"Hello");
}

/// One works, one is in the queue, one in the hand of the thread that accepts,
/// and the kernel keeps the rest.
#[test]
fn whoever_comes_when_all_workers_are_busy_waits_and_is_served_in_turn() {
    let mut server = server(&["1"]);
    let addr = server.address();
    let mut first = connect(addr);
    ask(&mut first, b"one");
    let mut others: Vec<TcpStream> = (0..5)
        .map(|i| {
            let mut stream = connect(addr);
            stream.write_all(&[i]).unwrap();
            stream
        })
        .collect();
    thread::scope(|scope| {
        for stream in &mut others {
            scope.spawn(|| assert!(is_kept_waiting(stream)));
        }
    });
    ask(&mut first, b"still here");
    for _ in 0..3 {
        assert!(server.log().ends_with(": connected"));
    }
    drop(first);
    let end = server.log();
    assert!(end.ends_with(": closed after 13 bytes"), "{end}");
    for (i, mut stream) in (0..).zip(others) {
        let mut reply = [0; 1];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, [i]);
    }
}

#[test]
fn a_silent_client_is_dismissed_after_the_limit() {
    let mut server = server(&["10", "300"]);
    let mut silent = connect(server.address());
    assert!(server.log().ends_with(": connected"));
    let end = server.log();
    assert!(end.ends_with(": no progress for 300ms"), "{end}");
    assert_eq!(again(|| silent.read(&mut [0; 1])).unwrap(), 0);
}

#[test]
fn wrong_arguments_are_named() {
    for (wrong, message) in [
        (["0", "60000"], "pool-server: 0 as a number of workers: "),
        (
            ["many", "60000"],
            "pool-server: many as a number of workers: ",
        ),
        (["10", "0"], "pool-server: 0 as a number of milliseconds: "),
    ] {
        let (status, stdout, stderr) = server(&wrong).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].starts_with(message), "{stderr:?}");
    }
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (status, _, stderr) =
        Program::start(Command::new(SERVER).arg(addr.to_string())).finish();
    assert!(!status.success());
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    let message = format!("pool-server: bind {addr}: ");
    assert!(stderr[0].starts_with(&message), "{stderr:?}");
}

/// What only Unix, or only Linux, lets a test provoke.
#[cfg(unix)]
mod unix {
    use super::*;

    fn signal(id: u32, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &id.to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Both ends are closed by now, and the server has said how many it served.
    fn assert_it_ends(server: Program, served: usize) -> Vec<String> {
        let (status, _, stderr) = server.finish();
        assert!(status.success(), "{status}: {stderr:?}");
        let last = stderr.last().unwrap();
        assert_eq!(last, &format!("served {served} connections"));
        stderr
    }

    #[test]
    fn a_signal_ends_a_server_without_clients() {
        for name in ["INT", "TERM"] {
            for addr in ["127.0.0.1:0", "0.0.0.0:0"] {
                let mut server = Program::start(Command::new(SERVER).arg(addr));
                server.address();
                signal(server.id(), name);
                assert_it_ends(server, 0);
            }
        }
    }

    #[test]
    fn a_signal_ends_idle_connections_without_a_reset() {
        let mut server = server(&[]);
        let addr = server.address();
        let mut streams: Vec<TcpStream> =
            (0..20).map(|_| connect(addr)).collect();
        for stream in &mut streams {
            ask(stream, b"here");
        }
        signal(server.id(), "TERM");
        for stream in &mut streams {
            assert_eq!(again(|| stream.read(&mut [0; 1])).unwrap(), 0);
        }
        drop(streams);
        let stderr = assert_it_ends(server, 20);
        assert!(!stderr.iter().any(|line| line.contains("did not end")));
    }

    #[test]
    fn what_had_arrived_before_the_signal_is_answered() {
        let mut server = server(&[]);
        let addr = server.address();
        let mut streams: Vec<TcpStream> =
            (0..20).map(|_| connect(addr)).collect();
        for stream in &mut streams {
            ask(stream, b"here");
        }
        for stream in &mut streams {
            stream.write_all(&[7; 65536]).unwrap();
        }
        signal(server.id(), "TERM");
        for stream in &mut streams {
            let mut rest = Vec::new();
            again(|| stream.read_to_end(&mut rest)).unwrap();
            assert_eq!(rest, [7; 65536]);
        }
        drop(streams);
        assert_it_ends(server, 20);
    }

    /// With `shutdown(Read)` in the server, this one loses answers to a reset.
    #[test]
    fn a_client_that_goes_on_sending_gets_all_its_answers() {
        let mut server = server(&[]);
        let mut reader = connect(server.address());
        let mut writer = reader.try_clone().unwrap();
        let mut sent = 0;
        // Fill the way there and back, until nothing moves any more.
        writer
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        loop {
            match writer.write(&[7; 65536]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        writer.set_write_timeout(Some(DEADLINE)).unwrap();
        signal(server.id(), "TERM");
        let sender = thread::spawn(move || {
            // As long as the server reads.
            while sent < 30_000_000 {
                match writer.write(&[7; 65536]) {
                    Ok(n) => sent += n,
                    Err(error) => panic!("after {sent} bytes: {error}"),
                }
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = 0;
        let mut buffer = [0; 65536];
        loop {
            match again(|| reader.read(&mut buffer)).unwrap() {
                0 => break,
                n => received += n,
            }
        }
        assert!(received >= 1_000_000, "{received} bytes");
        sender.join().unwrap();
        assert_it_ends(server, 1);
    }

    /// Nobody serves them before the signal: they are in the queue.
    #[test]
    fn whoever_waits_at_the_signal_is_answered_too() {
        let mut server = server(&["2"]);
        let addr = server.address();
        let mut streams: Vec<TcpStream> = (0..8)
            .map(|_| {
                let mut stream = connect(addr);
                stream.write_all(b"here").unwrap();
                stream
            })
            .collect();
        for stream in &mut streams[..2] {
            stream.read_exact(&mut [0; 4]).unwrap();
        }
        signal(server.id(), "TERM");
        for (i, mut stream) in streams.into_iter().enumerate() {
            let mut rest = String::new();
            again(|| stream.read_to_string(&mut rest)).unwrap();
            assert_eq!(rest, if i < 2 { "" } else { "here" });
        }
        assert_it_ends(server, 8);
    }

    /// The thread that accepts waits for a place in the queue, and nothing
    /// wakes it.
    #[test]
    fn clients_that_never_close_are_cut_off_after_the_grace() {
        let mut server = server(&["1", "60000", "300"]);
        let addr = server.address();
        let mut first = connect(addr);
        ask(&mut first, b"here");
        let _others: Vec<TcpStream> = (0..5).map(|_| connect(addr)).collect();
        for _ in 0..3 {
            assert!(server.log().ends_with(": connected"));
        }
        signal(server.id(), "TERM");
        let stderr = assert_it_ends(server, 1);
        let expected = "1 connections did not end in 300ms";
        assert!(stderr.iter().any(|line| line == expected), "{stderr:?}");
    }

    #[cfg(target_os = "linux")]
    mod linux {
        use super::*;
        use std::fs;

        /// Sets a limit of a running program; false, with a word of why, where
        /// there is no `prlimit`.
        fn limit(id: u32, what: &str) -> bool {
            let done = Command::new("prlimit")
                .args(["--pid", &id.to_string(), what])
                .status();
            match done {
                Ok(status) => assert!(status.success()),
                Err(error) => {
                    assert!(std::env::var_os("CI").is_none(), "{error}");
                    eprintln!("skipped: prlimit, of util-linux, is missing");
                    return false;
                }
            }
            true
        }

        /// A limit that leaves no descriptor free: the first number unused.
        fn none_free(id: u32) -> String {
            let fd = format!("/proc/{id}/fd");
            let used: Vec<u32> = fs::read_dir(fd)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .map(|name| name.to_str().unwrap().parse().unwrap())
                .collect();
            let free = (0..).find(|n| !used.contains(n)).unwrap();
            format!("--nofile={free}:1000")
        }

        /// User and system time, in ticks of a hundredth of a second.
        fn ticks(id: u32) -> u64 {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
            let (_, rest) = stat.rsplit_once(')').unwrap();
            let fields: Vec<&str> = rest.split_whitespace().collect();
            fields[11].parse::<u64>().unwrap()
                + fields[12].parse::<u64>().unwrap()
        }

        #[test]
        fn without_descriptors_it_waits_without_a_spin_and_recovers() {
            let mut server = server(&[]);
            let addr = server.address();
            let id = server.id();
            let mut first = connect(addr);
            ask(&mut first, b"one");
            if !limit(id, &none_free(id)) {
                return;
            }
            // An `accept` that waits has its descriptor already, so one client
            // may still get in.
            let _other = connect(addr);
            let mut second = connect(addr);
            second.write_all(b"two").unwrap();
            let mut log = server.log();
            while log.ends_with(": connected") {
                log = server.log();
            }
            assert!(log.starts_with("accept: Too many open files"), "{log}");
            let before = ticks(id);
            assert!(is_kept_waiting(&mut second));
            assert!(is_kept_waiting(&mut second));
            // A loop without a pause would need 40.
            assert!(ticks(id) - before <= 10);

            assert!(limit(id, "--nofile=1000:1000"));
            let mut reply = [0; 3];
            second.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"two");
            // One line was enough.
            let log = server.log();
            assert!(log.ends_with(": connected"), "{log}");
        }

        #[test]
        fn without_descriptors_a_signal_still_ends_it() {
            let mut server = server(&[]);
            server.address();
            let id = server.id();
            if limit(id, &none_free(id)) {
                signal(id, "TERM");
                assert_it_ends(server, 0);
            }
        }

        #[test]
        fn idle_connections_cost_no_processor_time() {
            let mut server = server(&[]);
            let addr = server.address();
            let mut streams: Vec<TcpStream> =
                (0..50).map(|_| connect(addr)).collect();
            for stream in &mut streams {
                ask(stream, b"here");
            }
            let before = ticks(server.id());
            assert!(is_kept_waiting(&mut streams[0]));
            assert!(ticks(server.id()) - before <= 1);
        }
    }
}
