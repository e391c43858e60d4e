mod support;

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use support::Program;

/// A receiver that waits so many milliseconds for more.
fn receiver(quiet: &str) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_count-receiver"));
    let mut receiver = Program::start(command.args(["127.0.0.1:0", quiet]));
    let addr = receiver.address();
    (receiver, addr)
}

fn peer_of(addr: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(addr).unwrap();
    socket
}

/// What the receiver says of these datagrams, its report at the end included.
fn said(sent: &[&str]) -> Vec<String> {
    let (mut receiver, addr) = receiver("500");
    let socket = peer_of(addr);
    for payload in sent {
        socket.send(payload.as_bytes()).unwrap();
    }
    (0..=sent.len()).map(|_| receiver.line()).collect()
}

#[test]
fn a_hole_a_double_and_a_late_one_are_noticed() {
    let sent = ["1 of 4", "3 of 4", "3 of 4", "2 of 4"];
    assert_eq!(
        said(&sent),
        [
            "1",
            "3 too early, or one is lost",
            "3 again",
            "2 late",
            "lost [4], doubled [3], late [2]"
        ]
    );
}

#[test]
fn the_sender_counts_and_the_receiver_hears_it() {
    let (mut receiver, addr) = receiver("500");
    let mut command = Command::new(env!("CARGO_BIN_EXE_count-sender"));
    let sender = Program::start(command.args([&addr.to_string(), "3"]));
    let (status, stdout, stderr) = sender.finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["sent 3"]);
    let said: Vec<String> = (0..4).map(|_| receiver.line()).collect();
    assert_eq!(said, ["1", "2", "3", "lost [], doubled [], late []"]);
}

#[test]
fn what_is_no_count_is_left_out() {
    let (mut receiver, addr) = receiver("300");
    let socket = peer_of(addr);
    let nonsense = [
        "",
        "1",
        "0 of 3",
        "4 of 3",
        "1 of 1001",
        "-1 of 3",
        "1 of 3 of 3",
        "\u{7c98}",
    ];
    for payload in nonsense {
        socket.send(payload.as_bytes()).unwrap();
        assert!(receiver.log().ends_with(": no number of a count"));
    }
    socket.send(b"1 of 1").unwrap();
    assert_eq!(receiver.line(), "1");
    assert_eq!(receiver.line(), "lost [], doubled [], late []");
    // The next count begins anew.
    socket.send(b"2 of 2").unwrap();
    assert_eq!(receiver.line(), "2 too early, or one is lost");
    assert_eq!(receiver.line(), "lost [1], doubled [], late []");
}

#[test]
fn a_stranger_is_not_counted() {
    let (mut receiver, addr) = receiver("500");
    let (peer, stranger) = (peer_of(addr), peer_of(addr));
    peer.send(b"1 of 2").unwrap();
    stranger.send(b"2 of 2").unwrap();
    assert!(receiver.log().ends_with(": not now"));
    peer.send(b"1 of 3").unwrap(); // another count of the same peer
    assert!(receiver.log().ends_with(": not now"));
    assert_eq!(receiver.line(), "1");
    assert_eq!(receiver.line(), "lost [2], doubled [], late []");
}

#[test]
fn a_wrong_argument_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_count-sender"));
    let sender = Program::start(command.args(["127.0.0.1:9", "many"]));
    let (status, _, stderr) = sender.finish();
    assert!(!status.success());
    assert!(
        stderr[0].starts_with("count-sender: many as a number: "),
        "{stderr:?}"
    );
}
