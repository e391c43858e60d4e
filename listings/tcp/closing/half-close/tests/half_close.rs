mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use support::{DEADLINE, Program, again};

fn server(thinking: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_half-close-server"));
    Program::start(command.args(["127.0.0.1:0", thinking]))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn rest_of(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_answer_arrives_after_half_close() {
    let mut server = server("50");
    let addr = server.address().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_half-close-client"));
    let (status, stdout, stderr) = Program::start(command.arg(addr)).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["the question has ended", "\"17 bytes\\n\""]);
    assert!(server.log().ends_with(": answered"));
}

#[test]
fn the_answer_comes_only_after_the_end_of_the_question() {
    let mut server = server("0");
    let mut stream = connect(server.address());
    stream.write_all(b"question").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let error = again(|| stream.read(&mut [0])).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest_of(stream), "8 bytes\n");
}

#[test]
fn a_question_without_a_byte_is_answered() {
    let mut server = server("0");
    let stream = connect(server.address());
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest_of(stream), "0 bytes\n");
}

#[test]
fn a_question_without_an_end_is_cut_off() {
    let mut server = server("0");
    let addr = server.address();
    let mut stream = connect(addr);
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    // The server closes, so sooner or later a write fails.
    let piece = [b'?'; 10_000];
    let written = (0..10_000).try_for_each(|_| stream.write_all(&piece));
    assert!(written.is_err());
    assert!(server.log().ends_with(": the question is too long"));

    let stream = connect(addr);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest_of(stream), "0 bytes\n");
}

#[test]
fn a_wrong_argument_is_named() {
    let (status, _, stderr) = server("long").finish();
    assert!(!status.success());
    let said = "half-close-server: long as milliseconds: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}
