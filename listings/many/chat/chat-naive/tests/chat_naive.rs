mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::{DEADLINE, Program, again};

fn server() -> Program {
    let program = env!("CARGO_BIN_EXE_chat-naive");
    Program::start(Command::new(program).arg("127.0.0.1:0"))
}

/// A member that the server has seen.
fn join(server: &mut Program, addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(server.log().ends_with(": connected"));
    stream
}

/// The next line that is not empty.
fn hears(member: &TcpStream, line: &str) {
    member.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reader = BufReader::with_capacity(1, member);
    let mut heard = String::new();
    while heard.trim().is_empty() {
        heard.clear();
        assert!(reader.read_line(&mut heard).unwrap() > 0, "the end");
    }
    assert_eq!(heard, format!("{line}\n"));
}

/// Says something until the other has heard it: it may not be a member yet.
fn meet(mut one: &TcpStream, other: &TcpStream) {
    other
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let by = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < by, "nothing is heard");
        one.write_all(b"\n").unwrap();
        if again(|| (&*other).read(&mut [0; 4096])).is_ok() {
            break;
        }
    }
}

#[test]
fn a_line_reaches_all_others() {
    let mut server = server();
    let addr = server.address();
    let ann = join(&mut server, addr);
    let mut bob = join(&mut server, addr);
    meet(&bob, &ann);
    bob.write_all(b"hello\n").unwrap();
    hears(&ann, "hello");
}

#[test]
fn one_deaf_member_stops_everybody() {
    let mut server = server();
    let addr = server.address();
    let ann = join(&mut server, addr);
    let bob = join(&mut server, addr);
    let small = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    small.set_recv_buffer_size(1).unwrap();
    small.connect_timeout(&addr.into(), DEADLINE).unwrap();
    assert!(server.log().ends_with(": connected"));
    let deaf = TcpStream::from(small);
    meet(&ann, &bob);
    meet(&ann, &deaf);

    // Bob talks, and Ann reads all of it, until nothing moves any more.
    let mut talking = bob.try_clone().unwrap();
    let mut reading = ann.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while reading.read(&mut buffer).is_ok_and(|n| n > 0) {}
    });
    talking
        .set_write_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    let line = [&[b'x'; 500][..], b"\n"].concat();
    while talking.write_all(&line).is_ok() {}

    // Not even somebody new gets in: the list is locked.
    let eve = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    assert!(server.log().ends_with(": connected"));
    let mut ann = ann;
    ann.write_all(b"anybody?\n").unwrap();
    eve.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(again(|| (&eve).read(&mut [0])).is_err());

    // With the deaf member gone, the lock is free, and all goes on.
    drop(deaf);
    // Who waited longest is not the first to get it: Ann may be before Eve.
    meet(&ann, &eve);
    drop(server);
    reader.join().unwrap();
}
