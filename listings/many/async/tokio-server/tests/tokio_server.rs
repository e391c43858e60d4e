//! What only this design can get wrong. `contract` has the rest.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use support::{DEADLINE, Program, again};

fn server(args: &[&str]) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokio-server"));
    let mut server = Program::start(command.arg("127.0.0.1:0").args(args));
    let addr = server.address();
    (server, addr)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends `bytes`, and expects them back.
fn ask(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == bytes);
}

/// Bytes that show a gap, a repetition or another order.
fn numbers(length: usize) -> Vec<u8> {
    let numbers = (0u32..).flat_map(u32::to_be_bytes);
    numbers.take(length).collect()
}

#[test]
fn bytes_come_back_in_order_and_after_half_close_too() {
    for threads in ["1", "2"] {
        let (_server, addr) = server(&["100", "60000", threads]);
        let mut stream = connect(addr);
        let bytes = numbers(1_000_000);
        let mut writer = stream.try_clone().unwrap();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || {
            for piece in sent.chunks(7777) {
                writer.write_all(piece).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == bytes);
        writing.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_and_nobody_notices() {
    let (mut server, addr) = server(&[]);
    let mut deaf = connect(addr);
    assert!(server.log().ends_with(": connected"));
    let timeout = Duration::from_millis(300);
    deaf.set_write_timeout(Some(timeout)).unwrap();
    let bytes = numbers(1 << 20);
    let (mut sent, most) = (0, 256 << 20);
    let stuck = loop {
        match again(|| deaf.write(&bytes[sent % bytes.len()..])) {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
        assert!(sent < most, "{sent} bytes were taken");
    };
    assert!(matches!(
        stuck.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));

    ask(&connect(addr), b"another");

    // All of it comes back as soon as it is read.
    deaf.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    deaf.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), sent);
    assert!(
        answer
            .chunks(bytes.len())
            .all(|piece| bytes.starts_with(piece))
    );
}

#[test]
fn one_connection_too_many_waits_until_another_has_left() {
    let (mut server, addr) = server(&["1"]);
    let first = connect(addr);
    ask(&first, b"first");
    assert!(server.log().ends_with(": connected"));
    // The kernel takes connection and bytes.
    let mut second = connect(addr);
    second.write_all(b"second").unwrap();
    drop(first);
    assert!(server.log().ends_with(": closed after 5 bytes"));
    let mut answer = [0; 6];
    second.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"second");
}

#[test]
fn silence_meets_the_deadline() {
    let (mut server, addr) = server(&["100", "300"]);
    let mut stream = connect(addr);
    ask(&stream, b"hello");
    assert!(server.log().ends_with(": connected"));
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0);
    let line = server.log();
    assert!(
        line.ends_with(": no progress for 300ms, after 5 bytes"),
        "{line}"
    );
}

#[cfg(unix)]
#[test]
fn out_of_descriptors_it_says_so_once_and_goes_on_later() {
    let program = env!("CARGO_BIN_EXE_tokio-server");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 24; exec \"$0\" 127.0.0.1:0", program]);
    let mut server = Program::start(&mut command);
    let addr = server.address();
    let mut clients: Vec<TcpStream> = (0..40).map(|_| connect(addr)).collect();
    while !server.log().starts_with("accept: ") {}
    // One after the other leaves, and so one after the other comes.
    while let Some(stream) = clients.pop() {
        if clients.len() < 20 {
            drop(stream);
        } else {
            stream.shutdown(Shutdown::Write).unwrap();
        }
    }
    ask(&connect(addr), b"hello");
    signal(&server, "TERM");
    let (status, _, stderr) = server.finish();
    assert!(status.success());
    let complaints = stderr.iter().filter(|line| line.contains("accept"));
    assert_eq!(complaints.count(), 0, "{stderr:?}");
}

/// What is in the server's receive buffer when it is told to stop is
/// answered, and no reset follows.
#[cfg(target_os = "linux")]
#[test]
fn a_stop_loses_nothing_that_had_arrived() {
    for (threads, name) in [("1", "TERM"), ("2", "INT")] {
        let (server, addr) = server(&["100", "60000", threads]);
        let mut stream = connect(addr);
        let mut idle = connect(addr);
        ask(&stream, b"before");
        ask(&idle, b"before");
        // While it stands still, bytes arrive, and then the signal.
        signal(&server, "STOP");
        let bytes = numbers(30_000);
        stream.write_all(&bytes).unwrap();
        let until = std::time::Instant::now() + DEADLINE;
        while unacknowledged(&stream) > 0 {
            assert!(std::time::Instant::now() < until);
            std::thread::yield_now();
        }
        signal(&server, name);
        signal(&server, "CONT");

        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == bytes, "{} bytes", answer.len());
        assert_eq!(idle.read(&mut [0; 9]).unwrap(), 0);
        // Nobody listens any more, and the old ones are still well.
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        stream.write_all(b"too late").unwrap();
        drop(stream);
        drop(idle);

        let (status, _, stderr) = server.finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stderr.last().unwrap(), "served 2 connections");
    }
}

#[cfg(unix)]
#[test]
fn a_client_that_never_closes_is_cut_off_after_the_grace() {
    let (server, addr) = server(&["10", "60000", "1", "300"]);
    let stream = connect(addr);
    ask(&stream, b"here");
    signal(&server, "TERM");
    let (status, _, stderr) = server.finish();
    assert!(status.success(), "{stderr:?}");
    let expected = "1 connections are cut off";
    assert!(stderr.iter().any(|line| line == expected), "{stderr:?}");
}

#[cfg(unix)]
fn signal(server: &Program, name: &str) {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &server.id().to_string()]);
    assert!(kill.status().unwrap().success());
}

/// How many bytes of ours the kernel of the other side has not acknowledged.
#[cfg(target_os = "linux")]
fn unacknowledged(stream: &TcpStream) -> u64 {
    let port = format!(":{:04X}", stream.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|local| local.ends_with(&port))
    });
    let queues = line.unwrap().split_whitespace().nth(4).unwrap();
    u64::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap()
}

#[test]
fn errors_name_the_address() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokio-server"));
    let (status, _, stderr) = Program::start(command.arg("nowhere")).finish();
    assert!(!status.success());
    assert!(stderr[0].starts_with("tokio-server: bind nowhere: "));
}
