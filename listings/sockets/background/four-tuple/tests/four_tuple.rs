mod support;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

use support::Program;

fn lines(program: &str) -> Vec<String> {
    let (status, stdout, stderr) =
        Program::start(&mut Command::new(program)).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stderr, [] as [&str; 0]);
    stdout
}

/// The descriptor and the two addresses of a line `NAME: descriptor N, local ADDR, peer ADDR`.
fn end(line: &str, name: &str) -> (u64, SocketAddr, SocketAddr) {
    let (found, rest) = line.split_once(": descriptor ").expect(line);
    assert_eq!(found, name);
    let (number, rest) = rest.split_once(", local ").expect(line);
    let (local, peer) = rest.split_once(", peer ").expect(line);
    let number = number.parse().expect(line);
    (
        number,
        local.parse().expect(line),
        peer.parse().expect(line),
    )
}

#[test]
fn the_connections_of_a_server_differ_only_in_the_port_of_the_client() {
    let lines = lines(env!("CARGO_BIN_EXE_four-tuple"));
    let (first, addr) =
        lines[0].split_once(", listening on ").expect(&lines[0]);
    assert!(first.starts_with("process "), "{first}");
    let addr: SocketAddr = addr.parse().unwrap();

    let ann = end(&lines[1], "Ann");
    let for_ann = end(&lines[2], "server, for Ann");
    let bob = end(&lines[3], "Bob");
    let for_bob = end(&lines[4], "server, for Bob");

    assert_eq!((ann.1, ann.2), (for_ann.2, for_ann.1), "mirrored");
    assert_eq!((bob.1, bob.2), (for_bob.2, for_bob.1), "mirrored");
    assert_eq!((for_ann.1, for_bob.1), (addr, addr), "the listening port");
    assert_eq!(ann.1.ip(), bob.1.ip());
    assert_ne!(ann.1.port(), bob.1.port());

    let mut numbers = [ann.0, for_ann.0, bob.0, for_bob.0];
    numbers.sort_unstable();
    assert!(
        numbers.windows(2).all(|pair| pair[0] != pair[1]),
        "{numbers:?}"
    );
}

#[test]
fn bytes_arrive_on_the_connection_on_which_they_were_sent() {
    let lines = lines(env!("CARGO_BIN_EXE_four-tuple"));
    assert_eq!(
        lines[5..],
        [
            "from Ann's connection: I am Ann",
            "from Bob's connection: I am Bob"
        ]
    );
}

#[test]
fn tcp_and_udp_have_ports_of_their_own() {
    // Another program may have the UDP port of that number: then try the next.
    let both = (0..100).any(|_| {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        UdpSocket::bind(addr).is_ok_and(|udp| udp.local_addr().unwrap() == addr)
    });
    assert!(both);
}

#[cfg(unix)]
#[test]
fn the_process_that_answers_never_bound_the_port() {
    let lines = lines(env!("CARGO_BIN_EXE_four-tuple-handover"));
    let words = |line: &str| -> Vec<String> {
        line.split([' ', ':', ',']).map(str::to_string).collect()
    };
    let (parent, child) = (words(&lines[0]), words(&lines[1]));
    assert_eq!((&*parent[0], &*child[0]), ("process", "process"));
    assert_ne!(parent[1], child[1], "two processes");
    assert_ne!(lines[0].split(' ').nth(3), Some("0"));
    assert_eq!(lines[1].split(' ').nth(3), Some("0"));
    let port = |line: &str| line.rsplit(':').next().unwrap().to_string();
    assert_eq!(port(&lines[0]), port(&lines[1]), "one port");
    let said = format!("says \"I am process {}\"", child[1]);
    assert!(lines[2].ends_with(&said), "{}", lines[2]);
    assert!(lines[2].starts_with(&format!("process {}: ", parent[1])));
    assert_eq!(lines.len(), 3);
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    use std::fs;
    use std::io::ErrorKind;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;
    use std::thread;

    use socket2::{Domain, Socket, Type};

    fn object(descriptor: &impl AsRawFd) -> PathBuf {
        fs::read_link(format!(
            "/proc/thread-self/fd/{}",
            descriptor.as_raw_fd()
        ))
        .unwrap()
    }

    #[test]
    fn a_port_carries_two_connections_but_no_pair_of_addresses_twice() {
        let lines = lines(env!("CARGO_BIN_EXE_four-tuple-same-port"));
        let ends = |line: &str| -> (SocketAddr, SocketAddr) {
            let (from, rest) = line.split_once(" to ").expect(line);
            let (to, _) = rest.split_once(": ").expect(line);
            (from.parse().expect(line), to.parse().expect(line))
        };
        let [first, second, third] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert!(first.ends_with(": connected"), "{first}");
        assert!(second.ends_with(": connected"), "{second}");
        assert!(
            third.ends_with(": Cannot assign requested address (os error 99)"),
            "{third}"
        );
        assert_eq!(ends(first).0, ends(second).0, "one port");
        assert_ne!(ends(first).1, ends(second).1, "two servers");
        assert_eq!(ends(first), ends(third));
    }

    #[test]
    fn a_descriptor_in_two_processes_stands_for_one_socket() {
        let lines = lines(env!("CARGO_BIN_EXE_four-tuple-handover"));
        let object =
            |line: &str| line.split_once(" is ").expect(line).1.to_string();
        assert!(object(&lines[0]).starts_with("socket:["), "{}", lines[0]);
        assert_eq!(object(&lines[0]), object(&lines[1]));
    }

    #[test]
    fn a_clone_is_a_second_descriptor_of_the_same_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clone = socket.try_clone().unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_ne!(socket.as_raw_fd(), clone.as_raw_fd());
        assert_eq!(object(&socket), object(&clone));
        assert_ne!(object(&socket), object(&other));
    }

    #[test]
    fn threads_have_ids_of_their_own_and_share_descriptors() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // The link reads PID/task/TID.
        let ids = || fs::read_link("/proc/thread-self").unwrap();
        let (there, seen) = thread::scope(|scope| {
            scope.spawn(|| (ids(), object(&socket))).join().unwrap()
        });
        let here = ids();
        assert_eq!(here.iter().next(), there.iter().next(), "one process");
        assert_ne!(here.file_name(), there.file_name(), "two threads");
        assert_eq!(object(&socket), seen, "one socket");
    }

    #[test]
    fn two_sockets_listen_on_one_port_only_if_both_ask_for_it() {
        let socket = |share: bool| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_reuse_port(share).unwrap();
            socket
        };
        let first = socket(true);
        first
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        first.listen(1).unwrap();
        let addr = first.local_addr().unwrap();

        let second = socket(true);
        second.bind(&addr).unwrap();
        second.listen(1).unwrap();

        let error = socket(false).bind(&addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_written_to_the_port_of_another_connection_does_not_arrive_here()
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let _ann = TcpStream::connect(addr).unwrap();
        let (for_ann, _) = listener.accept().unwrap();
        let bob = TcpStream::connect(addr).unwrap();
        let (for_bob, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut &bob, b"I am Bob").unwrap();
        // Once Bob's bytes are here, Ann's would be too.
        for_bob.set_read_timeout(Some(support::DEADLINE)).unwrap();
        std::io::Read::read_exact(&mut &for_bob, &mut [0; 8]).unwrap();
        for_ann.set_nonblocking(true).unwrap();
        let error = for_ann.peek(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_process_is_number_one_in_a_namespace_of_its_own() {
        let flags = ["--user", "--map-root-user", "--pid", "--fork"];
        let works = Command::new("unshare").args(flags).arg("true").output();
        if !works.is_ok_and(|output| output.status.success()) {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs user namespaces"
            );
            eprintln!(
                "skipped: a namespace of process ids is not to be had on this machine"
            );
            return;
        }
        let mut unshare = Command::new("unshare");
        let program = unshare.args(flags).arg(env!("CARGO_BIN_EXE_four-tuple"));
        let (status, stdout, stderr) = Program::start(program).finish();
        assert!(status.success(), "{stderr:?}");
        assert!(
            stdout[0].starts_with("process 1, listening on "),
            "{stdout:?}"
        );
    }
}
