mod support;

use std::io::{self, ErrorKind, PipeWriter, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use support::{DEADLINE, Program, again};

fn server() -> Program {
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_closed-listener-server"));
    Program::start(command.arg("127.0.0.1:0"))
}

/// A client, and what it reads as its input.
fn client(addr: &str) -> (Program, PipeWriter) {
    let (input, keyboard) = io::pipe().unwrap();
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_closed-listener-client"));
    (Program::start(command.arg(addr).stdin(input)), keyboard)
}

#[test]
fn the_established_connection_lives_and_the_queued_one_is_reset() {
    let mut server = server();
    let addr = server.address().to_string();
    let (mut first, mut first_keyboard) = client(&addr);
    assert_eq!(first.line(), "connected");
    let (mut second, mut second_keyboard) = client(&addr);
    assert_eq!(second.line(), "connected");

    first_keyboard.write_all(b"close\n").unwrap();
    assert_eq!(first.line(), "the server says \"still here\\n\"");
    assert!(first.finish().0.success());

    second_keyboard.write_all(b"hello\n").unwrap();
    let (status, stdout, stderr) = second.finish();
    assert!(!status.success());
    assert!(stdout.is_empty(), "{stdout:?}");
    let begin = "closed-listener-client: write to ";
    assert!(stderr[0].starts_with(begin), "{stderr:?}");

    assert_eq!(server.line(), "got 6 bytes");
    assert_eq!(server.line(), "no longer listening");
    assert!(server.finish().0.success());
}

#[test]
fn a_queued_connection_learns_of_it_by_reading_too() {
    let mut server = server();
    let addr = server.address();
    let mut first = TcpStream::connect(addr).unwrap();
    let mut second = TcpStream::connect(addr).unwrap();
    second.set_read_timeout(Some(DEADLINE)).unwrap();
    first.write_all(b"x").unwrap();
    let error = again(|| second.read(&mut [0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
