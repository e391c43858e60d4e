//! The two programs against each other, and the receiver against rude senders.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use carry::{MAX_SIZE, MAX_TOTAL, message};
use socket2::{Domain, Socket, Type};
use support::{DEADLINE, Program, again};

fn receiver(addr: &str, protocol: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_carry-receiver"))
            .args([addr, protocol]),
    )
}

fn sender(addr: SocketAddr, args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_carry-sender"))
            .arg(addr.to_string())
            .args(args),
    )
}

/// What the receiver prints, without its times.
fn without_time(line: &str) -> &str {
    line.rsplit_once(' ')
        .and_then(|(line, _)| line.rsplit_once(' '))
        .map_or(line, |(line, _)| line)
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn report(stream: &mut TcpStream) -> u32 {
    let mut report = [0; 4];
    stream.read_exact(&mut report).unwrap();
    u32::from_be_bytes(report)
}

/// A socket that waits for what the receiver says to it.
fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn udp_report(socket: &UdpSocket) -> u32 {
    let mut report = [0; 4];
    let n = again(|| socket.recv(&mut report)).unwrap();
    assert_eq!(n, 4);
    u32::from_be_bytes(report)
}

#[test]
fn every_message_arrives_in_order_over_both() {
    for protocol in ["tcp", "udp"] {
        let mut receiver = receiver("127.0.0.1:0", protocol);
        let addr = receiver.address();
        let sender = sender(addr, &[protocol, "7", "100", "1000"]);
        for number in 1..=7 {
            let line = receiver.line();
            let wanted = format!("message {number} after");
            assert_eq!(without_time(&line), wanted, "{protocol}");
        }
        assert_eq!(without_time(&receiver.line()), "7 of 7 in");
        let (status, stdout, stderr) = sender.finish();
        assert!(status.success(), "{protocol}: {stderr:?}");
        assert_eq!(without_time(&stdout[0]), "7 of 7 are there,");
    }
}

#[test]
fn half_a_megabyte_arrives_over_tcp() {
    let mut receiver = receiver("127.0.0.1:0", "tcp");
    let addr = receiver.address();
    let mut sender = sender(addr, &["tcp", "512", "1024", "0"]);
    assert_eq!(without_time(&sender.line()), "512 of 512 are there,");
    assert_eq!(without_time(&receiver.line()), "512 of 512 in");
}

#[test]
fn a_stream_may_be_split_anywhere() {
    let mut receiver = receiver("127.0.0.1:0", "tcp");
    let addr = receiver.address();
    let mut stream = connect(addr);
    stream.set_nodelay(true).unwrap();
    for byte in [1, 2].map(|n| frame(&message(n, 2, 10))).concat() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(report(&mut stream), 2);
    assert_eq!(without_time(&receiver.line()), "message 1 after");
}

#[test]
fn a_rude_sender_over_tcp_ends_itself_only() {
    let mut receiver = receiver("127.0.0.1:0", "tcp");
    let addr = receiver.address();
    let long = u16::try_from(MAX_SIZE + 1).unwrap().to_be_bytes().to_vec();
    let first = frame(&message(1, 3, 10));
    let other_total = [&first[..], &frame(&message(2, 4, 10))].concat();
    let one_more = [
        &frame(&message(1, 1, 10))[..],
        &frame(&message(1, 1, 10))[..],
    ]
    .concat();
    for (bytes, cause) in [
        (long, "a message that is too long"),
        (frame(b"short"), "no message of ours"),
        (frame(&message(0, 1, 10)), "no message of ours"),
        (frame(&message(1, MAX_TOTAL + 1, 10)), "no message of ours"),
        (other_total, "another total"),
        (one_more, "more than was announced"),
    ] {
        let mut stream = connect(addr);
        stream.write_all(&bytes).unwrap();
        let log = receiver.log();
        assert!(log.ends_with(&format!(": {cause}")), "{log}");
    }
    // And one that ends in the middle of a message.
    let mut stream = connect(addr);
    stream.write_all(&first[..7]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(again(|| stream.read(&mut [0; 1])).unwrap(), 0);
    assert!(!receiver.log().is_empty());

    let mut sender = sender(addr, &["tcp", "1", "100"]);
    assert_eq!(without_time(&sender.line()), "1 of 1 are there,");
}

#[test]
fn what_does_not_arrive_over_udp_is_missing_in_the_report() {
    let mut receiver = receiver("127.0.0.1:0", "udp");
    let addr = receiver.address();
    let socket = udp();
    // Late and doubled ones count once; the third never comes.
    for number in [1, 4, 2, 2] {
        socket.send_to(&message(number, 4, 100), addr).unwrap();
    }
    assert_eq!(udp_report(&socket), 3);
    for number in [1, 4, 2, 2] {
        let wanted = format!("message {number} after");
        assert_eq!(without_time(&receiver.line()), wanted);
    }
    assert_eq!(without_time(&receiver.line()), "3 of 4 in");
}

#[test]
fn over_udp_strangers_change_nothing() {
    let mut receiver = receiver("127.0.0.1:0", "udp");
    let addr = receiver.address();
    let (socket, stranger) = (udp(), udp());
    socket.send_to(&message(1, 2, 100), addr).unwrap();
    assert_eq!(without_time(&receiver.line()), "message 1 after");
    stranger.send_to(&message(2, 2, 100), addr).unwrap();
    assert!(receiver.log().ends_with(": not now"));
    stranger.send_to(b"", addr).unwrap();
    assert!(receiver.log().ends_with(": no message of ours"));
    stranger
        .send_to(&message(1, 1, MAX_SIZE + 1), addr)
        .unwrap();
    assert!(receiver.log().ends_with(": no message of ours"));
    assert_eq!(udp_report(&socket), 1);
}

fn no_receiver(addr: SocketAddr, protocol: &str) {
    let args = [protocol, "3", "100", "1000"];
    let (status, stdout, stderr) = sender(addr, &args).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    let wanted = format!("carry-sender: carry to {addr}: ");
    assert!(stderr[0].starts_with(&wanted), "{stderr:?}");
}

#[test]
fn without_a_receiver_the_sender_names_the_address_and_the_cause() {
    // Bound but not listening: nobody else can take the port.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    bound.bind(&any.into()).unwrap();
    no_receiver(bound.local_addr().unwrap().as_socket().unwrap(), "tcp");
}

/// A socket that is connected elsewhere holds the port. On Linux strangers are
/// then told that nobody is there.
#[cfg(target_os = "linux")]
#[test]
fn over_udp_too_the_sender_learns_that_nobody_has_the_port() {
    let (holder, elsewhere) = (udp(), udp());
    holder.connect(elsewhere.local_addr().unwrap()).unwrap();
    no_receiver(holder.local_addr().unwrap(), "udp");
}

#[test]
fn a_longer_report_is_none() {
    let fake = udp();
    let addr = fake.local_addr().unwrap();
    let mut sender = sender(addr, &["udp", "1", "100"]);
    let mut buffer = [0; MAX_SIZE];
    let (n, peer) = again(|| fake.recv_from(&mut buffer)).unwrap();
    assert_eq!(n, 100);
    fake.send_to(&[0, 0, 0, 9, 9], peer).unwrap();
    fake.send_to(&[0, 0, 0, 1], peer).unwrap();
    assert_eq!(without_time(&sender.line()), "1 of 1 are there,");
}

#[test]
fn wrong_arguments_are_named() {
    let addr = "127.0.0.1:9".parse().unwrap();
    for (args, cause) in [
        (&["icmp"][..], "icmp is neither tcp nor udp"),
        (&["tcp", "many"], "many as a number: "),
        (&["tcp", "0"], "0 is not within 1 and 100000"),
        (&["tcp", "1", "7"], "7 is not within 8 and 1200"),
        (&["tcp", "1", "8", "100001"], "100001 is not within"),
    ] {
        let (status, _, stderr) = sender(addr, args).finish();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        let wanted = format!("carry-sender: {cause}");
        assert!(stderr[0].starts_with(&wanted), "{stderr:?}");
    }
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = udp();
    for (protocol, addr) in [
        ("tcp", tcp.local_addr().unwrap()),
        ("udp", udp.local_addr().unwrap()),
    ] {
        let (status, stdout, stderr) =
            receiver(&addr.to_string(), protocol).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        let wanted = format!("carry-receiver: bind {addr}: ");
        assert!(stderr[0].starts_with(&wanted), "{stderr:?}");
    }
}

#[test]
fn the_sender_closes_first_and_no_report_follows() {
    let mut receiver = receiver("127.0.0.1:0", "tcp");
    let addr = receiver.address();
    let mut stream = connect(addr);
    stream.write_all(&frame(&message(1, 1, 100))).unwrap();
    assert_eq!(report(&mut stream), 1);
    stream.shutdown(Shutdown::Write).unwrap();
    match again(|| stream.read(&mut [0; 1])) {
        Ok(n) => assert_eq!(n, 0),
        Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock),
    }
}
