//! What only a server of completions can get wrong. What every echo server
//! has to do is in the contract of this part of the book.
#![cfg(target_os = "linux")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use support::{DEADLINE, Program, again};
use uring_server::ring::{Refusal, Ring};

const SERVER: &str = env!("CARGO_BIN_EXE_uring-server");

/// Whether there is an io_uring here; if not, says why.
fn io_uring() -> bool {
    let Err(refusal) = Ring::new() else {
        return true;
    };
    let why = match refusal {
        Refusal::Forbidden(error, why) => format!("{error}: {why}"),
        Refusal::Failed(error) => error.to_string(),
    };
    assert!(std::env::var_os("CI").is_none(), "no io_uring: {why}");
    eprintln!("skipped: this test needs io_uring, and here is none: {why}");
    false
}

fn start(args: &[&str]) -> (Program, SocketAddr) {
    let mut command = Command::new(SERVER);
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

fn echo(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut reply = vec![0; message.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, message);
}

fn terminate(server: &Program) {
    let id = server.id().to_string();
    let status = Command::new("kill").args(["-TERM", &id]).status();
    assert!(status.unwrap().success());
}

/// Bytes of which each place can be told from its neighbours.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8).collect()
}

#[test]
fn a_message_larger_than_all_buffers_comes_back_whole() {
    if !io_uring() {
        return;
    }
    let (_server, addr) = start(&[]);
    let mut stream = connect(addr);
    let message = pattern(16 * 1024 * 1024);
    let mut writer = stream.try_clone().unwrap();
    let sent = message.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    sender.join().unwrap();
    assert!(reply == message);
}

#[test]
fn a_peer_that_does_not_read_stops_the_server_reading_until_it_does() {
    if !io_uring() {
        return;
    }
    let (server, addr) = start(&[]);
    let mut stream = connect(addr);
    stream.set_nonblocking(true).unwrap();
    let message = pattern(251 * 4096);
    let mut sent = 0_u64;
    let mut stuck_since = Instant::now();
    let until = Instant::now() + DEADLINE;
    while stuck_since.elapsed() < Duration::from_millis(500) {
        assert!(Instant::now() < until, "the server reads for ever");
        let place = (sent % 251) as usize;
        match again(|| stream.write(&message[place..])) {
            Ok(count) => {
                sent += count as u64;
                stuck_since = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Somebody else does not notice.
    echo(&mut connect(addr), b"and me?");

    stream.set_nonblocking(false).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0_u64;
    loop {
        let count = again(|| stream.read(&mut buffer)).unwrap();
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            assert_eq!(u64::from(*byte), received % 251);
            received += 1;
        }
    }
    assert_eq!(received, sent);
    drop(server);
}

#[test]
fn no_more_connections_are_accepted_than_the_limit_says() {
    if !io_uring() {
        return;
    }
    let (mut server, addr) = start(&["2"]);
    let mut first = connect(addr);
    let mut second = connect(addr);
    echo(&mut first, b"one");
    echo(&mut second, b"two");
    let mut others: Vec<TcpStream> = (0..5).map(|_| connect(addr)).collect();
    for other in &mut others {
        other.write_all(b"me too").unwrap();
    }
    // The server says something when it accepts. These lines come in order.
    for _ in 0..2 {
        assert!(server.log().ends_with(": connected"));
    }
    drop(first);
    assert!(server.log().ends_with(": closed after 3 bytes"));
    assert!(server.log().ends_with(": connected"));
    let mut reply = [0; 6];
    others[0].read_exact(&mut reply).unwrap();
    drop(second);
    assert!(server.log().ends_with(": closed after 3 bytes"));
    assert!(server.log().ends_with(": connected"));
    others[1].read_exact(&mut reply).unwrap();
    // Three of them still wait.
    others[2]
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let error = again(|| others[2].read(&mut reply)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// A small reply after another small one would else wait for an ACK.
#[test]
fn accepted_connections_inherit_no_delay() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_tcp_nodelay(true).unwrap();
    let _client = connect(listener.local_addr().unwrap());
    let (accepted, _) = listener.accept().unwrap();
    assert!(accepted.nodelay().unwrap());
}

#[test]
fn a_silent_connection_is_closed_after_its_time() {
    if !io_uring() {
        return;
    }
    let (mut server, addr) = start(&["10", "300"]);
    let mut stream = connect(addr);
    assert!(server.log().ends_with(": connected"));
    assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);
    assert!(server.log().ends_with(": no progress for 300ms"));
    assert!(server.log().ends_with(": closed after 0 bytes"));
}

#[test]
fn a_reset_ends_one_connection_only() {
    if !io_uring() {
        return;
    }
    let (mut server, addr) = start(&[]);
    let mut stays = connect(addr);
    echo(&mut stays, b"before");
    assert!(server.log().ends_with(": connected"));
    let resets = connect(addr);
    assert!(server.log().ends_with(": connected"));
    SockRef::from(&resets)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(resets);
    assert!(server.log().contains("Connection reset by peer"));
    assert!(server.log().ends_with(": closed after 0 bytes"));
    echo(&mut stays, b"after");
}

#[test]
fn a_server_without_descriptors_says_so_once_and_recovers() {
    if !io_uring() {
        return;
    }
    let mut command = Command::new("sh");
    let script = format!("ulimit -n 20; exec {SERVER} 127.0.0.1:0");
    let mut server = Program::start(command.args(["-c", &script]));
    let addr = server.address();
    let mut clients: Vec<TcpStream> = (0..40).map(|_| connect(addr)).collect();
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    let mut accepted = 0;
    loop {
        let line = server.log();
        if line.ends_with(": connected") {
            accepted += 1;
            continue;
        }
        assert!(line.contains("Too many open files"), "{line}");
        break;
    }
    assert!(accepted > 0 && accepted < 20, "{accepted}");
    // As each is served and leaves, another one gets its descriptor. Nobody
    // waits for ever.
    let mut reply = [0; 5];
    for mut client in clients {
        client.read_exact(&mut reply).unwrap();
    }
    terminate(&server);
    let (status, _, rest) = server.finish();
    assert!(status.success());
    let complaints = rest
        .iter()
        .filter(|line| line.starts_with("accept:"))
        .count();
    // At most one more each time that it got going again.
    assert!(complaints < 40, "{complaints} lines");
    assert_eq!(rest.last().unwrap(), "served 40 connections");
}

#[test]
fn a_server_that_is_told_to_stop_answers_what_it_has_and_ends_the_stream() {
    if !io_uring() {
        return;
    }
    let (mut server, addr) = start(&[]);
    let mut quiet = connect(addr);
    let mut busy = connect(addr);
    echo(&mut quiet, b"quiet");
    echo(&mut busy, b"busy");
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": connected"));
    let message = pattern(100_000);
    busy.write_all(&message).unwrap();
    terminate(&server);
    // How much of it was there in time, nobody can say here; the contract
    // does. But no byte is skipped, and no reset destroys the reply.
    let mut reply = Vec::new();
    busy.read_to_end(&mut reply).unwrap();
    assert!(message.starts_with(&reply));
    assert_eq!(again(|| quiet.read(&mut [0])).unwrap(), 0);
    drop((quiet, busy));
    let (status, _, log) = server.finish();
    assert!(status.success(), "{status}");
    assert_eq!(log.last().unwrap(), "served 2 connections");
}

/// The tick comes once a second: who waited for it would take half a second
/// on average.
#[test]
fn a_server_without_clients_stops_at_once() {
    if !io_uring() {
        return;
    }
    let mut fastest = DEADLINE;
    for _ in 0..10 {
        let (server, _) = start(&[]);
        let start = Instant::now();
        terminate(&server);
        let (status, _, log) = server.finish();
        assert!(status.success(), "{status}");
        assert_eq!(log, ["served 0 connections"]);
        fastest = fastest.min(start.elapsed());
        if fastest < Duration::from_millis(300) {
            return;
        }
    }
    panic!("{fastest:?} at best");
}

#[test]
fn a_peer_that_does_not_close_is_left_after_the_grace() {
    if !io_uring() {
        return;
    }
    let (mut server, addr) = start(&["10", "60000", "500"]);
    let mut stays = connect(addr);
    echo(&mut stays, b"hello");
    assert!(server.log().ends_with(": connected"));
    let start = Instant::now();
    terminate(&server);
    let (status, _, log) = server.finish();
    let took = start.elapsed();
    assert!(status.success(), "{status}");
    assert!(took > Duration::from_millis(450), "{took:?}");
    assert!(log[0].ends_with(": did not close in time"), "{log:?}");
}

// ANCHOR: refused
/// `strace` answers in the kernel's place: no such thing here.
#[test]
fn where_io_uring_is_forbidden_one_line_says_so_and_the_status_is_3() {
    for (error, why) in [
        ("ENOSYS", "this kernel has none"),
        ("EPERM", "kernel.io_uring_disabled"),
        ("EINVAL", "older than Linux 6.1"),
        ("ENOMEM", "ulimit -l"),
    ] {
        let mut command = Command::new("strace");
        command
            .args(["-qq", "-o", "/dev/null", "-e"])
            .arg(format!("inject=io_uring_setup:error={error}"))
            .args([SERVER, "127.0.0.1:0"]);
        let output = match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                assert!(std::env::var_os("CI").is_none(), "no strace");
                eprintln!("skipped: this test needs strace");
                return;
            }
            output => output.unwrap(),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{error}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("uring-server: no io_uring: "), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(output.stdout.is_empty());
    }
}
// ANCHOR_END: refused

#[test]
fn an_address_in_use_is_named() {
    if !io_uring() {
        return;
    }
    let (_server, addr) = start(&[]);
    let mut command = Command::new(SERVER);
    let second = Program::start(command.arg(addr.to_string()));
    let (status, _, log) = second.finish();
    assert_eq!(status.code(), Some(1));
    assert!(log[0].contains(&addr.to_string()), "{log:?}");
}
