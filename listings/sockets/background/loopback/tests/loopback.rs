#![cfg(unix)]

mod support;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

use socket2::{Domain, SockRef, Socket, Type};
use support::Program;

const MSS: &str = env!("CARGO_BIN_EXE_loopback-mss");

/// The address and the number in the line that the program prints.
fn limit(program: &mut Command) -> (SocketAddr, u32) {
    let (status, stdout, stderr) = Program::start(program).finish();
    assert!(status.success(), "{stderr:?}");
    let [line] = &stdout[..] else {
        panic!("{stdout:?}");
    };
    let (addr, rest) =
        line.strip_prefix("to ").unwrap().split_once(": ").unwrap();
    let rest = rest.strip_prefix("at most ").unwrap();
    let number = rest.strip_suffix(" bytes a segment").unwrap();
    (addr.parse().unwrap(), number.parse().unwrap())
}

#[test]
fn a_segment_on_loopback_is_far_larger_than_on_ethernet() {
    let (addr, bytes) = limit(&mut Command::new(MSS));
    assert!(addr.ip().is_loopback());
    assert!(bytes > 10_000, "{bytes}");
}

#[test]
fn the_program_asks_about_the_address_that_it_is_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (asked, _) = limit(Command::new(MSS).arg(addr.to_string()));
    assert_eq!(asked, addr);
}

#[test]
fn without_a_server_the_address_is_named_with_the_cause() {
    // Bound but not listening: nobody else can take the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let (status, stdout, stderr) =
        Program::start(Command::new(MSS).arg(addr.to_string())).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("loopback-mss: connect to {addr}: "))
    );
}

#[test]
fn a_full_receive_buffer_drops_datagrams_without_a_word() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    SockRef::from(&receiver)
        .set_recv_buffer_size(20_000)
        .unwrap();
    receiver.set_nonblocking(true).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = receiver.local_addr().unwrap();
    for _ in 0..1000 {
        assert_eq!(sender.send_to(&[0; 1000], addr).unwrap(), 1000);
    }
    let mut buffer = [0; 1000];
    let mut arrived = 0;
    while receiver.recv(&mut buffer).is_ok() {
        arrived += 1;
    }
    assert!((1..1000).contains(&arrived), "{arrived}");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    /// Runs a shell script on a host of its own, or `None`, with a word of why.
    fn alone(script: &str) -> Option<Command> {
        let flags = ["--user", "--map-root-user", "--net"];
        let works = Command::new("unshare")
            .args(flags)
            .args(["ip", "link", "set", "lo", "up"])
            .output();
        if !works.is_ok_and(|output| output.status.success()) {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs unshare and ip, and to be allowed to use them"
            );
            eprintln!(
                "skipped: a network namespace is not to be had on this machine"
            );
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(flags).args(["sh", "-c", script, MSS]);
        Some(command)
    }

    #[test]
    fn the_mtu_of_loopback_is_65536() {
        let Some(mut command) = alone("ip -oneline link show lo") else {
            return;
        };
        let (_, stdout, _) = Program::start(&mut command).finish();
        assert!(stdout[0].contains(" mtu 65536 "), "{stdout:?}");
    }

    #[test]
    fn with_the_mtu_of_ethernet_a_segment_has_1448_bytes() {
        let Some(mut command) =
            alone("ip link set lo mtu 1500 up && exec \"$0\"")
        else {
            return;
        };
        assert_eq!(limit(&mut command).1, 1448);
    }
}
