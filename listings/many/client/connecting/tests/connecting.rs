mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use socket2::{Domain, Socket, Type};
use support::Program;

fn steps(addr: SocketAddr) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_connecting-steps"))
            .arg(addr.to_string()),
    )
}

fn guess(addr: SocketAddr) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_connecting-guess"))
            .arg(addr.to_string()),
    )
}

/// Bound but not listening: nobody else can take the port, and nobody answers.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

#[test]
fn a_connected_socket_has_a_peer_and_no_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (status, stdout, stderr) = steps(addr).finish();
    assert!(status.success(), "{stderr:?}");
    let after: Vec<_> = stdout
        .iter()
        .skip_while(|line| *line != "writable")
        .collect();
    assert_eq!(
        after,
        [
            "writable",
            "  SO_ERROR: Ok(None)",
            "  SO_ERROR: Ok(None)",
            &format!("  peer: Ok(Some({addr}))"),
        ]
    );
}

#[test]
fn a_refused_socket_is_writable_too() {
    let (_bound, addr) = refusing();
    let (status, stdout, stderr) = steps(addr).finish();
    assert!(status.success(), "{stderr:?}");
    assert!(stdout.contains(&"writable".to_string()), "{stdout:?}");
    // On one host the answer may be there before the first question.
    let refused = stdout.iter().filter(|line| line.contains("refused"));
    assert!(refused.count() >= 1, "{stdout:?}");
}

#[test]
fn who_guesses_is_connected_to_nobody() {
    let (_bound, addr) = refusing();
    let (status, stdout, stderr) = guess(addr).finish();
    assert!(!status.success());
    assert_eq!(stdout, [format!("connected to {addr}")]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("connecting-guess: send to {addr}: ")),
        "{stderr:?}"
    );
}
