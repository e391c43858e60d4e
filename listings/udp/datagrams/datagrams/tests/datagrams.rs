mod support;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;

use support::{DEADLINE, Program, again};

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let n = again(|| socket.recv(&mut buffer)).unwrap();
    buffer.truncate(n);
    buffer
}

fn nothing_more(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let error = socket.recv(&mut [0; 1]).err();
    socket.set_nonblocking(false).unwrap();
    error.is_some_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// A port that is taken, and where nobody receives: whoever is not the peer of
/// a connected socket is refused.
fn deaf() -> (UdpSocket, String) {
    let socket = socket();
    let addr = socket.local_addr().unwrap();
    socket.connect(addr).unwrap();
    (socket, addr.to_string())
}

fn lines(program: &str, args: &[&str]) -> Vec<String> {
    let (status, stdout, stderr) =
        Program::start(Command::new(program).args(args)).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stderr, [] as [&str; 0]);
    stdout
}

#[test]
fn a_send_to_nobody_succeeds_and_nothing_is_heard_of_it() {
    let (_deaf, addr) = deaf();
    let said = lines(env!("CARGO_BIN_EXE_datagrams-nobody"), &[&addr]);
    assert_eq!(said[0], "sent 14 bytes");
    assert!(said[1].starts_with("received nothing: "), "{said:?}");
}

#[test]
fn three_sends_are_three_receives_and_one_of_them_is_empty() {
    let mut receiver = Program::start(
        Command::new(env!("CARGO_BIN_EXE_datagrams-receiver"))
            .arg("127.0.0.1:0"),
    );
    let addr = receiver.address().to_string();
    let said = lines(
        env!("CARGO_BIN_EXE_datagrams-sender"),
        &[&addr, "lunch", "", "at noon?"],
    );
    assert_eq!(said, ["sent 5 bytes", "sent 0 bytes", "sent 8 bytes"]);
    assert_eq!(receiver.log(), r#"received 5 bytes: "lunch""#);
    assert_eq!(receiver.log(), r#"received 0 bytes: """#);
    assert_eq!(receiver.log(), r#"received 8 bytes: "at noon?""#);
}

#[test]
fn a_large_buffer_takes_one_datagram_and_no_more() {
    let receiver = socket();
    let sender = socket();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    for size in [1, 0, 1000, 2] {
        sender.send(&vec![7; size]).unwrap();
    }
    for size in [1, 0, 1000, 2] {
        assert_eq!(receive(&receiver).len(), size);
    }
    assert!(nothing_more(&receiver));
}

/// Windows reports an error in place of the bytes.
#[cfg(unix)]
#[test]
fn a_short_buffer_loses_the_tail_without_a_word() {
    let said = lines(env!("CARGO_BIN_EXE_datagrams-truncated"), &[]);
    assert_eq!(said, [r#"5 bytes: "pay 1""#, r#"5 bytes: "thank""#]);
}

#[cfg(windows)]
#[test]
fn a_short_buffer_is_an_error() {
    let said = lines(env!("CARGO_BIN_EXE_datagrams-truncated"), &[]);
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|line| line.contains("10040")), "{said:?}");
}

#[test]
fn one_byte_more_than_the_limit_shows_what_is_too_long() {
    let said = lines(env!("CARGO_BIN_EXE_datagrams-noticed"), &[]);
    assert_eq!(said, ["longer than 6 bytes: thrown away", r#""thanks""#]);
}

#[test]
fn an_empty_vec_receives_nothing_and_the_datagram_is_gone() {
    let said = lines(env!("CARGO_BIN_EXE_datagrams-empty-vec"), &[]);
    let wrong = said[0].strip_prefix("with_capacity: ").expect(&said[0]);
    if cfg!(unix) {
        assert_eq!(wrong, "0 bytes");
    }
    assert_eq!(said[1], r#"vec![0; 1500]: 3 bytes: "two""#);
}

#[cfg(target_os = "linux")]
#[test]
fn linux_tells_the_true_length_before_a_datagram_is_taken() {
    let said = lines(env!("CARGO_BIN_EXE_datagrams-true-length"), &[]);
    assert_eq!(
        said,
        [
            "0 bytes",
            "8 bytes",
            "1024 bytes",
            "1025 bytes: thrown away"
        ]
    );
}

/// EMSGSIZE is 90 on Linux. macOS sends at most 9216 bytes unless told otherwise.
#[cfg(target_os = "linux")]
#[test]
fn the_largest_payload_is_65507_on_ipv4_and_65527_on_ipv6() {
    for (any, largest) in [("127.0.0.1:0", 65_507), ("[::1]:0", 65_527)] {
        let receiver = match UdpSocket::bind(any) {
            Ok(receiver) => receiver,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "{any}: {error}");
                eprintln!("skipped: this machine has no IPv6");
                continue;
            }
        };
        receiver.set_read_timeout(Some(DEADLINE)).unwrap();
        let addr = receiver.local_addr().unwrap().to_string();
        let sizes = [largest, largest + 1].map(|size: u16| size.to_string());
        let said = lines(
            env!("CARGO_BIN_EXE_datagrams-sizes"),
            &[&addr, &sizes[0], &sizes[1]],
        );
        assert_eq!(said[0], format!("{largest} bytes: sent"));
        let refused = format!("{} bytes: Message too long", sizes[1]);
        assert!(said[1].starts_with(&refused), "{said:?}");
        assert!(said[1].contains("(os error 90)"), "{said:?}");
        assert_eq!(receive(&receiver).len(), largest.into());
    }
}

/// Other systems report it at another call.
#[cfg(target_os = "linux")]
#[test]
fn a_refusal_comes_with_the_next_send_and_that_one_is_not_sent() {
    let (_deaf, addr) = deaf();
    let said = lines(env!("CARGO_BIN_EXE_datagrams-refused"), &[&addr]);
    let refused = "Connection refused (os error 111)";
    assert_eq!(
        said,
        [
            "message 1: sent 9 bytes".to_string(),
            format!("message 2: {refused}"),
            "message 3: sent 9 bytes".to_string(),
        ]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_refusal_comes_with_the_next_receive_too_and_only_once() {
    let (_deaf, addr) = deaf();
    let sender = socket();
    sender.connect(&addr).unwrap();
    assert!(nothing_more(&sender), "connect sends nothing");
    sender.send(b"one").unwrap();
    let error = again(|| sender.recv(&mut [0; 1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(nothing_more(&sender));
}

#[cfg(target_os = "linux")]
#[test]
fn a_connected_socket_takes_datagrams_of_its_peer_only() {
    let said = lines(env!("CARGO_BIN_EXE_datagrams-strangers"), &[]);
    // The first was there before the socket was connected.
    assert_eq!(said, [r#""before""#, r#""from the server""#]);
}

#[test]
fn connect_puts_nothing_into_the_peer_s_queue() {
    let peer = socket();
    socket().connect(peer.local_addr().unwrap()).unwrap();
    assert!(nothing_more(&peer));
}

/// The number of the column `drops` in `/proc/net/udp`, for the socket at `addr`.
#[cfg(target_os = "linux")]
fn drops(addr: std::net::SocketAddr) -> u64 {
    let port = format!("0100007F:{:04X}", addr.port());
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let line = table
        .lines()
        .find(|line| line.split_whitespace().nth(1) == Some(&port))
        .expect("a line for the socket");
    line.split_whitespace().last().unwrap().parse().unwrap()
}

/// `RcvbufErrors` of UDP in `/proc/net/snmp`: of all sockets of this host.
#[cfg(target_os = "linux")]
fn receive_buffer_errors() -> u64 {
    let counters = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut udp = counters
        .lines()
        .filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (udp.next().unwrap(), udp.next().unwrap());
    let (_, value) = names
        .split(' ')
        .zip(values.split(' '))
        .find(|(name, _)| *name == "RcvbufErrors")
        .unwrap();
    value.parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_buffer_drops_in_silence_and_the_kernel_counts() {
    let before = receive_buffer_errors();
    let (input, mut keyboard) = std::io::pipe().unwrap();
    let mut program = Program::start(
        Command::new(env!("CARGO_BIN_EXE_datagrams-overflow"))
            .arg("127.0.0.1:0")
            .stdin(input),
    );
    let sent = program.line();
    let addr = sent
        .strip_prefix("sent 100 datagrams to ")
        .and_then(|rest| rest.strip_suffix("; press Enter to receive them"))
        .expect(&sent)
        .parse()
        .unwrap();
    let dropped = drops(addr);
    assert!((1..100).contains(&dropped), "{dropped}");
    assert!(receive_buffer_errors() - before >= dropped);
    std::io::Write::write_all(&mut keyboard, b"\n").unwrap();
    let received = 100 - dropped;
    assert_eq!(program.line(), format!("received {received} datagrams"));
    assert!(program.finish().0.success());
}

#[test]
fn what_was_there_first_stays_when_the_buffer_is_full() {
    let receiver = socket();
    socket2::SockRef::from(&receiver)
        .set_recv_buffer_size(8192)
        .unwrap();
    let sender = socket();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    for number in 0..100_u8 {
        // Some systems say that they are out of buffers; most say nothing.
        let _ = sender.send(&[number; 1000]);
    }
    receiver.set_nonblocking(true).unwrap();
    let mut buffer = [0; 1000];
    let mut count = 0;
    while receiver.recv(&mut buffer).is_ok() {
        assert_eq!(buffer[0], count);
        count += 1;
    }
    assert!((1..100).contains(&count), "{count}");
}

#[test]
fn errors_name_the_address() {
    let taken = socket();
    let addr = taken.local_addr().unwrap().to_string();
    for (program, args, said) in [
        (
            env!("CARGO_BIN_EXE_datagrams-receiver"),
            vec![&addr[..]],
            format!("datagrams-receiver: bind {addr}: "),
        ),
        (
            env!("CARGO_BIN_EXE_datagrams-overflow"),
            vec![&addr[..]],
            format!("datagrams-overflow: bind {addr}: "),
        ),
        (
            env!("CARGO_BIN_EXE_datagrams-nobody"),
            vec!["here"],
            "datagrams-nobody: send to here: ".to_string(),
        ),
        (
            env!("CARGO_BIN_EXE_datagrams-sender"),
            vec!["here", "hello"],
            "datagrams-sender: send to here: ".to_string(),
        ),
        (
            env!("CARGO_BIN_EXE_datagrams-refused"),
            vec!["here"],
            "datagrams-refused: connect to here: ".to_string(),
        ),
        (
            env!("CARGO_BIN_EXE_datagrams-sizes"),
            vec!["here"],
            "datagrams-sizes: here as an address and a port: ".to_string(),
        ),
        (
            env!("CARGO_BIN_EXE_datagrams-sizes"),
            vec![&addr, "65536"],
            "datagrams-sizes: 65536 as a size: ".to_string(),
        ),
    ] {
        let (status, _, stderr) =
            Program::start(Command::new(program).args(args)).finish();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].starts_with(&said), "{stderr:?}");
    }
}
