mod support;

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use support::Program;

fn server() -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_each-read-server"));
    Program::start(command.arg("127.0.0.1:0"))
}

/// The next line of the server's log, without the address of the peer.
fn log(server: &mut Program) -> String {
    let line = server.log();
    let (_, said) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
    said.to_string()
}

#[test]
fn a_character_that_is_cut_is_damaged() {
    let mut server = server();
    let addr = server.address();
    let mut stream = TcpStream::connect(addr).unwrap();
    let (first, second) = "zwölf\n".as_bytes().split_at(3);
    stream.write_all(first).unwrap();
    // The rest is sent when the first piece was read, so they can't be glued.
    assert_eq!(log(&mut server), "\"zw\u{fffd}\"");
    stream.write_all(second).unwrap();
    assert_eq!(log(&mut server), "\"\u{fffd}lf\\n\"");
    drop(stream);
    assert_eq!(log(&mut server), "closed");
}

#[test]
fn messages_that_travel_together_are_taken_for_one() {
    let mut server = server();
    let addr = server.address();
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(log(&mut server), "\"one\\ntwo\\n\"");
}

#[test]
fn an_address_that_can_t_be_bound_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_each-read-server"));
    let (status, _, stderr) = Program::start(command.arg("nowhere")).finish();
    assert!(!status.success());
    assert!(stderr[0].starts_with("each-read-server: bind nowhere: "));
}
