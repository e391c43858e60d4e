//! Runs every program, and holds true what the chapter says beyond what they check.

mod support;

use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use support::{DEADLINE, Program, again, python};

macro_rules! lines_of {
    ($name:literal) => {
        lines($name, env!(concat!("CARGO_BIN_EXE_api-tour-", $name)))
    };
}

fn lines(name: &str, path: &str) -> Vec<String> {
    let (status, stdout, stderr) =
        Program::start(&mut Command::new(path)).finish();
    assert!(status.success(), "{name}: {stderr:?}");
    assert_eq!(stderr, [] as [&str; 0], "{name}");
    stdout
}

/// A client and a server that are connected, and the listener that they met at.
fn pair() -> (TcpStream, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
    }
    (client, server, listener)
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was due"),
        Err(error) => error.kind(),
    }
}

#[test]
fn the_programs_that_check_themselves_end_well_and_print_nothing() {
    for said in [
        lines_of!("accept"),
        lines_of!("close"),
        lines_of!("defaults"),
        lines_of!("defaults-socket2"),
        lines_of!("getsockopt"),
        lines_of!("gettimeout"),
        lines_of!("makefile"),
        lines_of!("recv"),
        lines_of!("recvfrom"),
        lines_of!("sendall"),
        lines_of!("sendto"),
        lines_of!("setblocking"),
        lines_of!("shutdown"),
        lines_of!("socket"),
    ] {
        assert_eq!(said, [] as [&str; 0]);
    }
}

#[test]
fn port_0_becomes_a_port_of_the_kernels_choice() {
    let bind = lines_of!("bind");
    let port = bind[0].strip_prefix("the kernel chose port ").unwrap();
    assert_ne!(port.parse::<u16>().unwrap(), 0);

    let names = lines_of!("getsockname");
    let listener =
        names[0].strip_prefix("the listener asked for port 0 and got ");
    let client = names[1].strip_prefix("the client asked for nothing and got ");
    assert_ne!(listener.unwrap().parse::<u16>().unwrap(), 0);
    assert_ne!(client.unwrap(), listener.unwrap());
}

#[test]
fn a_client_connects_and_sends_before_anybody_accepts() {
    assert_eq!(
        lines_of!("listen"),
        ["connected and sent, and nobody has called accept"]
    );
}

#[test]
fn two_connections_to_one_address_differ_in_the_clients_port() {
    let lines = lines_of!("connect");
    let (first, to_first) = lines[0].split_once(" to ").unwrap();
    let (second, to_second) = lines[1].split_once(" to ").unwrap();
    assert_eq!(to_first, to_second);
    assert_ne!(first, second);
    assert!(
        first.starts_with("127.0.0.1:") && second.starts_with("127.0.0.1:")
    );
}

#[test]
fn a_refused_connection_has_its_error_number() {
    let lines = lines_of!("connect-error");
    assert!(lines[0].ends_with(" is ConnectionRefused"), "{lines:?}");
    if cfg!(target_os = "linux") {
        assert_eq!(
            lines,
            [
                "Some(111) is ConnectionRefused",
                "Some(115) is not the end of it",
                "Some(111) is"
            ]
        );
    }
}

#[test]
fn a_pending_error_is_reported_once() {
    let (client, server, _listener) = pair();
    SockRef::from(&server)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(server);
    // Wait for the reset without reading: a read would report the error itself.
    let until = Instant::now() + DEADLINE;
    let error = loop {
        if let Some(error) = client.take_error().unwrap() {
            break error;
        }
        assert!(Instant::now() < until, "no reset came");
        thread::yield_now();
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(client.take_error().unwrap().is_none());
}

#[test]
fn a_send_may_take_less_than_it_is_given() {
    let lines = lines_of!("send");
    let numbers: Vec<u64> = lines[0]
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers[1], 64 << 20);
    // Windows may take everything at once and keep it.
    assert!(cfg!(windows) || numbers[0] < numbers[1], "{lines:?}");
    assert!(numbers[0] > 0);
}

#[test]
fn write_all_on_a_non_blocking_socket_sends_a_part_and_does_not_say_how_much() {
    let (mut client, mut server, _listener) = pair();
    client.set_nonblocking(true).unwrap();
    let payload = vec![0; 64 << 20];
    assert_eq!(kind(client.write_all(&payload)), ErrorKind::WouldBlock);
    drop(client);
    let arrived = io::copy(&mut server, &mut io::sink()).unwrap();
    assert!(0 < arrived && arrived < payload.len() as u64, "{arrived}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_write_whose_time_is_up_reports_the_part_that_was_taken() {
    let (mut client, _server, _listener) = pair();
    client
        .set_write_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let taken = again(|| client.write(&vec![0; 64 << 20])).unwrap();
    assert!(0 < taken && taken < 64 << 20, "{taken}");
}

#[test]
fn a_read_into_nothing_is_0_and_not_the_end() {
    let (mut client, mut server, _listener) = pair();
    client.write_all(b"Hello").unwrap();
    assert_eq!(again(|| server.peek(&mut [0; 1])).unwrap(), 1);
    assert_eq!(server.read(&mut []).unwrap(), 0);
    assert_eq!(again(|| server.read(&mut [0; 16])).unwrap(), 5);
}

#[test]
fn peek_shows_the_beginning() {
    assert_eq!(lines_of!("peek"), [r#"starts with "GET""#]);
}

#[test]
fn a_second_peek_does_not_wait_for_more() {
    let (mut client, server, _listener) = pair();
    client.write_all(b"G").unwrap();
    // Nothing more will come, and both return.
    assert_eq!(again(|| server.peek(&mut [0; 3])).unwrap(), 1);
    assert_eq!(again(|| server.peek(&mut [0; 3])).unwrap(), 1);
}

#[cfg(unix)]
#[test]
fn a_datagram_that_is_too_long_for_the_buffer_is_cut_without_a_word() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(DEADLINE)).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = receiver.local_addr().unwrap();
    sender.send_to(b"first", addr).unwrap();
    sender.send_to(b"second", addr).unwrap();
    let mut buffer = [0; 2];
    assert_eq!(again(|| receiver.recv_from(&mut buffer)).unwrap().0, 2);
    assert_eq!(&buffer, b"fi");
    assert_eq!(again(|| receiver.recv_from(&mut buffer)).unwrap().0, 2);
    assert_eq!(&buffer, b"se");
}

#[test]
fn sending_to_a_port_that_nobody_has_succeeds() {
    let nobody = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(sender.send_to(b"anybody?", nobody).unwrap(), 8);
}

#[test]
fn a_connected_udp_socket_names_its_peer_whether_it_is_there_or_not() {
    assert_eq!(lines_of!("getpeername"), ["connected to 127.0.0.1:9"]);
}

#[cfg(target_os = "linux")]
#[test]
fn after_a_reset_there_is_no_peer_to_ask_about() {
    let (mut client, server, _listener) = pair();
    SockRef::from(&server)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(server);
    assert_eq!(
        kind(again(|| client.read(&mut [0; 1]))),
        ErrorKind::ConnectionReset
    );
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
}

#[test]
fn a_buffer_is_at_least_as_large_as_asked_and_twice_as_large_on_linux() {
    let lines = lines_of!("setsockopt");
    let numbers: Vec<u64> = lines[0]
        .split([' ', ','])
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers[0], 65_536);
    assert!(numbers[1] >= numbers[0], "{lines:?}");
    if cfg!(target_os = "linux") {
        assert_eq!(numbers[1], 131_072);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_buffer_larger_than_the_limit_is_no_error() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = SockRef::from(&socket);
    socket.set_recv_buffer_size(1 << 30).unwrap();
    assert!(socket.recv_buffer_size().unwrap() < 1 << 30);
}

#[cfg(target_os = "linux")]
#[test]
fn an_accepted_socket_waits_even_when_its_listener_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (server, _) = listener.accept().unwrap();
    assert!(is_non_blocking(&listener));
    assert!(!is_non_blocking(&server));
}

#[cfg(target_os = "linux")]
fn is_non_blocking(socket: &impl std::os::fd::AsRawFd) -> bool {
    let path = format!("/proc/self/fdinfo/{}", socket.as_raw_fd());
    let info = std::fs::read_to_string(path).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    // O_NONBLOCK, on every architecture that this book's tests have met.
    u32::from_str_radix(flags.trim(), 8).unwrap() & 0o4000 != 0
}

#[test]
fn a_timeout_has_one_of_two_names() {
    let expected = if cfg!(windows) {
        "TimedOut"
    } else {
        "WouldBlock"
    };
    assert_eq!(lines_of!("settimeout"), [expected]);
}

#[test]
fn a_timeout_read_back_is_at_least_the_one_that_was_set() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for set in [Duration::from_nanos(1), Duration::from_millis(1)] {
        socket.set_read_timeout(Some(set)).unwrap();
        assert!(socket.read_timeout().unwrap().unwrap() >= set);
    }
}

#[cfg(unix)]
#[test]
fn to_socket2_less_than_a_microsecond_is_no_limit() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for none in [Duration::ZERO, Duration::from_nanos(999)] {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        SockRef::from(&socket).set_read_timeout(Some(none)).unwrap();
        assert_eq!(socket.read_timeout().unwrap(), None);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_timeout_also_limits_accept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener)
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
}

#[cfg(target_os = "linux")]
#[test]
fn a_backlog_of_0_still_has_room_for_one() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
}

#[test]
fn a_connection_in_time_is_an_ordinary_one() {
    assert!(
        lines_of!("connect-timeout")[0].starts_with("connected to 127.0.0.1:")
    );
}

#[test]
fn a_refusal_comes_through_connect_timeout_too() {
    // Bound but not listening: nobody else can take the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    bound.bind(&any.into()).unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let refused = TcpStream::connect_timeout(&addr, DEADLINE);
    assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
}

#[test]
fn no_time_to_connect_is_no_valid_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let at_once = TcpStream::connect_timeout(&addr, Duration::ZERO);
    assert_eq!(kind(at_once), ErrorKind::InvalidInput);
}

#[test]
fn shutdown_also_ends_the_clones() {
    let (client, mut server, _listener) = pair();
    let _clone = client.try_clone().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(again(|| server.read(&mut [0; 1])).unwrap(), 0);
}

#[cfg(unix)]
#[test]
fn a_descriptor_is_a_small_number() {
    let lines = lines_of!("fileno");
    let number = lines[0].strip_prefix("the descriptor is ").unwrap();
    assert!(number.parse::<u32>().unwrap() >= 3);
}

#[test]
fn a_socket_of_socket2_becomes_one_of_std_and_back() {
    let (client, mut server, _listener) = pair();
    let addr = client.local_addr().unwrap();
    let socket = Socket::from(client);
    assert_eq!(socket.local_addr().unwrap().as_socket(), Some(addr));
    let mut client = TcpStream::from(socket);
    client.write_all(b"still here").unwrap();
    let mut buffer = [0; 10];
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"still here");
}

#[test]
fn a_dropped_buf_writer_sends_what_it_holds_and_hides_the_error() {
    let (client, mut server, _listener) = pair();
    let mut writer = BufWriter::new(&client);
    writer.write_all(b"held back").unwrap();
    drop(writer);
    let mut buffer = [0; 9];
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"held back");

    client.shutdown(Shutdown::Write).unwrap();
    let mut writer = BufWriter::new(&client);
    writer.write_all(b"too late").unwrap();
    drop(writer);

    let mut writer = BufWriter::new(&client);
    writer.write_all(b"too late").unwrap();
    assert_eq!(kind(writer.flush()), ErrorKind::BrokenPipe);
}

#[test]
fn a_line_that_is_too_long_comes_back_without_its_end() {
    let (mut client, server, _listener) = pair();
    client.write_all(b"too long\nshort\n").unwrap();
    let mut reader = BufReader::new(&server);
    let mut line = String::new();
    reader.by_ref().take(4).read_line(&mut line).unwrap();
    assert_eq!(line, "too ");
}

#[test]
fn what_a_dropped_buf_reader_had_read_ahead_is_gone() {
    let (mut client, server, _listener) = pair();
    client.write_all(b"one\ntwo\n").unwrap();
    let mut line = String::new();
    BufReader::new(&server).read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    server.set_nonblocking(true).unwrap();
    assert_eq!(kind(server.peek(&mut [0; 1])), ErrorKind::WouldBlock);
}

#[test]
fn python_does_what_the_chapter_says_of_it() {
    let Some(mut python) = python("tests/api-tour-claims.py") else {
        return;
    };
    let (status, _, stderr) = Program::start(&mut python).finish();
    assert!(status.success(), "{stderr:#?}");
}
