mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use support::{DEADLINE, Program, again};

fn receiver(addr: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_chat-line-receiver")).arg(addr),
    )
}

fn send(addr: SocketAddr, message: &[&str]) {
    let mut sender = Command::new(env!("CARGO_BIN_EXE_chat-line-sender"));
    let (status, stdout, stderr) =
        Program::start(sender.arg(addr.to_string()).args(message)).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, [] as [&str; 0]);
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn the_receiver_prints_the_line_of_the_sender() {
    let mut receiver = receiver("127.0.0.1:0");
    let addr = receiver.address();
    send(addr, &[]);
    let line = receiver.line();
    assert!(line.starts_with("127.0.0.1:"), "{line}");
    assert!(line.ends_with(r#": "ann: lunch at noon?""#), "{line}");
    send(addr, &["bob: 粘包"]);
    assert!(receiver.line().ends_with(r#": "bob: 粘包""#));
}

#[test]
fn a_line_may_arrive_in_pieces() {
    let mut receiver = receiver("127.0.0.1:0");
    let mut stream = connect(receiver.address());
    stream.set_nodelay(true).unwrap();
    for byte in "ann: 粘包\n".as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(receiver.line().ends_with(r#": "ann: 粘包""#));
}

#[test]
fn what_follows_the_newline_is_not_the_line() {
    let mut receiver = receiver("127.0.0.1:0");
    let mut stream = connect(receiver.address());
    stream.write_all(b"one\ntwo").unwrap();
    assert!(receiver.line().ends_with(r#": "one""#));
}

#[test]
fn the_longest_line_is_taken_and_a_longer_one_refused() {
    let mut receiver = receiver("127.0.0.1:0");
    let addr = receiver.address();
    let longest = "x".repeat(1024);
    send(addr, &[&longest]);
    assert!(receiver.line().ends_with(&format!(": \"{longest}\"")));

    let mut stream = connect(addr);
    stream.write_all(&[b'x'; 1025]).unwrap();
    assert!(receiver.log().ends_with(": line too long"));

    send(addr, &[]);
    assert!(receiver.line().ends_with(r#"lunch at noon?""#));
}

#[test]
fn a_line_without_its_end_is_no_line() {
    let mut receiver = receiver("127.0.0.1:0");
    let addr = receiver.address();
    connect(addr).write_all(b"ann: lunch").unwrap();
    let log = receiver.log();
    assert!(log.ends_with(": unexpected end of file"), "{log}");
    send(addr, &[]);
    assert!(receiver.line().ends_with(r#"lunch at noon?""#));
}

/// A limit for each read alone would never end the one that drips.
#[test]
fn neither_silence_nor_dripping_outlasts_the_deadline() {
    let goes_on_after = |client: fn(SocketAddr) -> TcpStream| {
        let mut receiver = Program::start(
            Command::new(env!("CARGO_BIN_EXE_chat-line-receiver"))
                .args(["127.0.0.1:0", "300"]),
        );
        let addr = receiver.address();
        let stream = client(addr);
        let log = receiver.log();
        assert!(log.ends_with(": timed out"), "{log}");
        drop(stream);
        send(addr, &[]);
        assert!(receiver.line().ends_with(r#"lunch at noon?""#));
    };
    let dripping = |addr| {
        let mut stream = connect(addr);
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
        stream
    };
    thread::scope(|scope| {
        scope.spawn(|| goes_on_after(connect));
        scope.spawn(|| goes_on_after(dripping));
    });
}

#[test]
fn a_reset_ends_that_client_only() {
    let mut receiver = receiver("127.0.0.1:0");
    let addr = receiver.address();
    let rude = connect(addr);
    // Closing with a linger time of zero sends RST instead of FIN.
    SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    let log = receiver.log();
    assert!(log.contains("reset") || log.contains("aborted"), "{log}");
    send(addr, &[]);
    assert!(receiver.line().ends_with(r#"lunch at noon?""#));
}

#[test]
fn a_peer_cannot_command_the_terminal() {
    let mut receiver = receiver("127.0.0.1:0");
    let mut stream = connect(receiver.address());
    stream.write_all(b"\x1b[2J\rroot: hi\n").unwrap();
    assert!(receiver.line().ends_with(r#": "\u{1b}[2J\rroot: hi""#));
}

#[test]
fn the_kernel_closes_the_connections_of_a_killed_program() {
    let mut receiver = receiver("127.0.0.1:0");
    let mut waiting = connect(receiver.address());
    // Accepted or still in the queue: in both cases the kernel ends it.
    drop(receiver);
    match again(|| waiting.read(&mut [0; 1])) {
        Ok(0) => {}
        Ok(n) => panic!("{n} bytes from a dead program"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn without_a_receiver_the_sender_names_the_address_and_the_cause() {
    // Bound but not listening: nobody else can take the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let mut sender = Command::new(env!("CARGO_BIN_EXE_chat-line-sender"));
    let (status, stdout, stderr) =
        Program::start(sender.arg(addr.to_string())).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0]
            .starts_with(&format!("chat-line-sender: connect to {addr}: ")),
        "{stderr:?}"
    );
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (status, stdout, stderr) = receiver(&addr.to_string()).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("chat-line-receiver: bind {addr}: ")),
        "{stderr:?}"
    );
}
