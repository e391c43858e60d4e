//! The client against a server of threads, right here.

mod support;

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use support::Program;

fn rounds(addr: &str, connections: &str) -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_rounds")).args([
        addr,
        connections,
        "3",
    ]))
}

#[test]
fn every_connection_gets_its_echo_in_every_round() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    let (status, said, errors) = rounds(&addr, "7").finish();
    assert!(status.success(), "{errors:?}");
    assert_eq!(said, ["21 echoes"]);
}

#[test]
fn a_wrong_reply_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut message = [0; 64];
        stream.read_exact(&mut message).unwrap();
        message[63] = b'n';
        stream.write_all(&message).unwrap();
        let _ = stream.read(&mut message);
    });
    let (status, _, errors) = rounds(&addr, "1").finish();
    assert_eq!(status.code(), Some(1));
    assert!(errors[0].contains("sent something else back"), "{errors:?}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let addr = "127.0.0.1:1";
    let (status, _, errors) = rounds(addr, "1").finish();
    assert_eq!(status.code(), Some(1));
    assert!(errors[0].contains(addr), "{errors:?}");
}
