mod support;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::{DEADLINE, Program, again, python};

const CLIENTS: [&str; 2] = [
    env!("CARGO_BIN_EXE_udp-echo-client"),
    env!("CARGO_BIN_EXE_udp-echo-connected"),
];

fn server(addr: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_udp-echo-server")).arg(addr),
    )
}

fn client(program: &str, addr: SocketAddr) -> Program {
    Program::start(Command::new(program).arg(addr.to_string()))
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (n, peer) = again(|| socket.recv_from(&mut buffer)).unwrap();
    buffer.truncate(n);
    (buffer, peer)
}

/// A port that is taken, and where nobody receives: whoever is not the peer of
/// a connected socket is refused.
fn deaf() -> UdpSocket {
    let socket = socket();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    socket
}

/// Both clients at once, where they wait for a time-out.
fn at_once(test: impl Fn(&'static str) + Sync) {
    thread::scope(|scope| {
        for program in CLIENTS {
            let test = &test;
            scope.spawn(move || test(program));
        }
    });
}

#[test]
fn the_clients_print_the_reply() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    for program in CLIENTS {
        let mut client = client(program, addr);
        assert_eq!(client.line(), r#"received "Hello, world""#);
        assert!(client.finish().0.success());
        assert!(server.log().ends_with(": 12 bytes"));
    }
}

#[test]
fn another_message_and_an_empty_one_come_back_too() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address().to_string();
    for program in CLIENTS {
        for message in ["粘包", ""] {
            let mut client =
                Program::start(Command::new(program).args([&addr, message]));
            assert_eq!(client.line(), format!("received {message:?}"));
        }
    }
}

#[test]
fn names_and_ipv6_work_too() {
    if UdpSocket::bind("[::1]:0").is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs IPv6");
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let mut server = server("[::1]:0");
    let addr = server.address();
    for program in CLIENTS {
        let mut client = client(program, addr);
        assert_eq!(client.line(), r#"received "Hello, world""#);
    }
}

#[test]
fn one_socket_serves_many_peers_and_each_gets_its_own() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    let peers: Vec<UdpSocket> = (0..20).map(|_| socket()).collect();
    for (number, peer) in peers.iter().enumerate() {
        peer.send_to(number.to_string().as_bytes(), addr).unwrap();
    }
    for (number, peer) in peers.iter().enumerate().rev() {
        let (reply, from) = receive(peer);
        assert_eq!((reply, from), (number.to_string().into_bytes(), addr));
    }
}

#[cfg(target_os = "linux")] // elsewhere less may be sent, as by default on macOS
#[test]
fn the_largest_datagram_returns_whole() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    let peer = socket();
    let sent: Vec<u8> = (0..=255).cycle().take(65_507).collect();
    peer.send_to(&sent, addr).unwrap();
    assert_eq!(receive(&peer), (sent, addr));
}

#[test]
fn a_peer_that_has_gone_ends_no_server() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    for _ in 0..20 {
        // Closed before the answer comes, or after: nobody knows.
        socket().send_to(b"bye", addr).unwrap();
    }
    for program in CLIENTS {
        let mut client = client(program, addr);
        assert_eq!(client.line(), r#"received "Hello, world""#);
    }
}

#[test]
fn the_clients_ask_again_when_an_answer_does_not_come() {
    at_once(|program| {
        let server = socket();
        let mut client = client(program, server.local_addr().unwrap());
        let first = receive(&server);
        let second = receive(&server);
        assert_eq!(first, second);
        server.send_to(b"at last", second.1).unwrap();
        assert_eq!(client.line(), r#"received "at last""#);
    });
}

#[test]
fn without_an_answer_the_clients_give_up_after_three_tries() {
    at_once(|program| {
        let server = socket();
        let addr = server.local_addr().unwrap();
        let (status, stdout, stderr) = client(program, addr).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(
            stderr[0]
                .ends_with(&format!(": no answer from {addr} to 3 datagrams")),
            "{stderr:?}"
        );
        for _ in 0..3 {
            assert_eq!(receive(&server).0, b"Hello, world");
        }
        server.set_nonblocking(true).unwrap();
        let more = server.recv_from(&mut [0; 1]).unwrap_err();
        assert_eq!(more.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_stranger_s_datagram_is_no_answer() {
    for program in CLIENTS {
        let server = socket();
        let mut client = client(program, server.local_addr().unwrap());
        let (_, peer) = receive(&server);
        socket().send_to(b"lies", peer).unwrap();
        server.send_to(b"truth", peer).unwrap();
        assert_eq!(client.line(), r#"received "truth""#);
    }
}

#[test]
fn strangers_do_not_keep_a_client_waiting() {
    at_once(|program| {
        let server = socket();
        let client = client(program, server.local_addr().unwrap());
        let (_, peer) = receive(&server);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let stranger = socket();
                while !stop.load(Ordering::Relaxed) {
                    // It fails once the client has gone, on some systems.
                    let _ = stranger.send_to(b"lies", peer);
                    thread::yield_now();
                }
            });
            let (status, _, stderr) = client.finish();
            stop.store(true, Ordering::Relaxed);
            assert!(!status.success());
            assert!(stderr[0].contains(": no answer from "), "{stderr:?}");
        });
    });
}

/// Windows has rules of its own for what a port answers where nobody listens.
#[cfg(target_os = "linux")]
#[test]
fn only_the_connected_client_learns_that_nobody_listens() {
    let deaf = deaf();
    let addr = deaf.local_addr().unwrap();
    let clients = CLIENTS.map(|program| client(program, addr));
    for (client, said) in clients.into_iter().zip([
        format!("udp-echo-client: no answer from {addr} to 3 datagrams"),
        format!("udp-echo-connected: nobody listens at {addr}, it says"),
    ]) {
        let (status, _, stderr) = client.finish();
        assert!(!status.success());
        assert_eq!(stderr, [said]);
    }
}

/// On Linux every address of 127/8 is this host's.
#[cfg(target_os = "linux")]
#[test]
fn a_server_bound_to_every_address_may_answer_from_another_one() {
    let mut server = server("0.0.0.0:0");
    let port = server.address().port();
    let asked = SocketAddr::from(([127, 0, 0, 2], port));
    at_once(|program| {
        let (status, _, stderr) = client(program, asked).finish();
        assert!(!status.success());
        assert!(stderr[0].contains("no answer from "), "{stderr:?}");
    });
    assert!(server.log().ends_with(": 12 bytes"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_bound_to_one_address_answers_from_it() {
    let mut server = server("127.0.0.2:0");
    let addr = server.address();
    for program in CLIENTS {
        let mut client = client(program, addr);
        assert_eq!(client.line(), r#"received "Hello, world""#);
    }
}

/// A datagram whose source is another echo server is never laid to rest. Here the
/// test is that other server.
#[test]
fn two_echo_servers_go_on_for_ever() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    let other = socket();
    other.send_to(b"hello", addr).unwrap();
    for _ in 0..1000 {
        let (datagram, from) = receive(&other);
        assert_eq!((&datagram[..], from), (&b"hello"[..], addr));
        other.send_to(&datagram, from).unwrap();
    }
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let taken = socket();
    let addr = taken.local_addr().unwrap();
    let (status, stdout, stderr) = server(&addr.to_string()).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("udp-echo-server: bind {addr}: ")),
        "{stderr:?}"
    );
}

#[test]
fn an_address_that_is_none_is_named() {
    for program in CLIENTS {
        let mut client = Program::start(Command::new(program).arg("here"));
        let said = client.log();
        assert!(said.contains(": look up here: "), "{said}");
        assert!(!client.finish().0.success());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_ends_no_server() {
    let mut server = Program::start(
        Command::new("sh")
            .args(["-c", r#"exec "$0" 127.0.0.1:0 2>/dev/full"#])
            .arg(env!("CARGO_BIN_EXE_udp-echo-server")),
    );
    let addr = server.address();
    for program in CLIENTS {
        let mut client = client(program, addr);
        assert_eq!(client.line(), r#"received "Hello, world""#);
    }
}

#[test]
fn the_python_client_gets_its_reply() {
    let Some(mut python) = python("python/udp-echo-client.py") else {
        return;
    };
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    let mut client = Program::start(
        python.args([addr.ip().to_string(), addr.port().to_string()]),
    );
    assert_eq!(client.line(), "received b'Hello, world'");
    assert!(client.finish().0.success());
}

#[test]
fn the_python_client_takes_no_stranger_s_answer_either() {
    let Some(mut python) = python("python/udp-echo-client.py") else {
        return;
    };
    let server = socket();
    let addr = server.local_addr().unwrap();
    let mut client = Program::start(
        python.args([addr.ip().to_string(), addr.port().to_string()]),
    );
    receive(&server);
    let (_, peer) = receive(&server);
    socket().send_to(b"lies", peer).unwrap();
    server.send_to(b"truth", peer).unwrap();
    assert_eq!(client.line(), "received b'truth'");
}

#[test]
fn the_python_server_answers() {
    for program in CLIENTS {
        let Some(mut python) = python("python/udp-echo-server.py") else {
            return;
        };
        let mut server = Program::start(python.args(["127.0.0.1", "0"]));
        let mut client = client(program, server.address());
        assert_eq!(client.line(), r#"received "Hello, world""#);
    }
}
