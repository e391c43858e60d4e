//! Groups on loopback, as Linux has them. Other systems may want a route first.
#![cfg(target_os = "linux")]

mod support;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::Command;

use socket2::{Domain, Socket, Type};
use support::{DEADLINE, Program, again};

const LOOPBACK: &str = "127.0.0.1";

fn member(args: &[&str]) -> (Program, u16) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_group-member"));
    let mut member = Program::start(command.args(args));
    let port = member.address().port();
    (member, port)
}

fn send(group: &str, port: u16) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_group-sender"));
    command.args([&format!("{group}:{port}"), LOOPBACK]);
    let (status, stdout, stderr) = Program::start(&mut command).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["sent"]);
}

/// Comes after what was sent before: on loopback nothing is overtaken.
fn mark(port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"mark", (LOOPBACK, port)).unwrap();
}

#[test]
fn a_member_hears_its_group_and_no_other() {
    let (mut member, port) = member(&["0.0.0.0:0", "239.255.7.1", LOOPBACK]);
    send("239.255.7.2", port);
    mark(port);
    assert!(member.line().starts_with("mark from "));
    send("239.255.7.1", port);
    assert!(member.line().starts_with("hello from 127.0.0.1"));
}

#[test]
fn who_joined_nothing_hears_nothing() {
    let (mut bystander, port) = member(&["0.0.0.0:0"]);
    send("239.255.7.3", port);
    mark(port);
    assert!(bystander.line().starts_with("mark from "));
}

#[test]
fn who_is_bound_to_one_address_hears_no_group() {
    let (mut member, port) = member(&["127.0.0.1:0", "239.255.7.4", LOOPBACK]);
    send("239.255.7.4", port);
    mark(port);
    assert!(member.line().starts_with("mark from "));
}

#[test]
fn a_group_that_another_program_joined_is_heard_too() {
    let _other = member(&["0.0.0.0:0", "239.255.7.5", LOOPBACK]);
    let (mut bystander, port) = member(&["0.0.0.0:0"]);
    send("239.255.7.5", port);
    assert!(bystander.line().starts_with("hello from "));
}

#[test]
fn a_socket_can_be_kept_to_its_own_groups() {
    let _other = member(&["0.0.0.0:0", "239.255.7.6", LOOPBACK]);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_multicast_all_v4(false).unwrap();
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    socket.bind(&any.into()).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    send("239.255.7.6", port);
    mark(port);
    let mut buffer = [0; 64];
    let n = again(|| socket.recv(&mut buffer)).unwrap();
    assert_eq!(&buffer[..n], b"mark");
}

#[test]
fn a_wrong_group_is_named() {
    for (group, said) in [
        ("everybody", "group-member: join everybody on 127.0.0.1: "),
        ("10.0.0.1", "group-member: join 10.0.0.1 on 127.0.0.1: "),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_group-member"));
        let (status, _, stderr) =
            Program::start(command.args(["0.0.0.0:0", group])).finish();
        assert!(!status.success());
        assert!(stderr[0].starts_with(said), "{stderr:?}");
    }
}
