mod support;

use std::io::{self, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::{DEADLINE, Program, again};

/// A server, and what it reads as its input.
fn server(when: &str) -> (Program, PipeWriter) {
    let (input, keyboard) = io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hang-up-server"));
    command.args(["127.0.0.1:0", when]).stdin(input);
    (Program::start(&mut command), keyboard)
}

fn client(addr: SocketAddr) -> (Program, PipeWriter) {
    let (input, keyboard) = io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hang-up-client"));
    command.arg(addr.to_string()).stdin(input);
    (Program::start(&mut command), keyboard)
}

fn say_hello(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream
}

#[test]
fn the_server_closes_when_the_client_has() {
    let (mut server, _keyboard) = server("end");
    let addr = server.address();
    for _ in 0..2 {
        let (mut client, mut keyboard) = client(addr);
        assert_eq!(client.line(), "connected");
        assert_eq!(server.log(), "hello");
        keyboard.write_all(b"\n").unwrap();
        assert_eq!(client.line(), "closed");
        assert!(client.finish().0.success());
        assert!(server.log().ends_with(": closed"));
    }
}

#[test]
fn the_server_closes_when_somebody_presses_enter() {
    let (mut server, mut keyboard) = server("enter");
    let mut stream = say_hello(server.address());
    assert_eq!(server.log(), "hello");
    keyboard.write_all(b"\n").unwrap();
    assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);
    assert!(server.log().ends_with(": closed"));
}

#[test]
fn a_client_without_hello_does_not_end_the_server() {
    let (mut server, _keyboard) = server("end");
    let addr = server.address();
    drop(TcpStream::connect(addr).unwrap());
    assert!(server.log().contains(": read hello: "));
    drop(say_hello(addr));
    assert_eq!(server.log(), "hello");
    assert!(server.log().ends_with(": closed"));
}

#[test]
fn a_wrong_argument_is_named() {
    let (mut server, _keyboard) = server("never");
    assert_eq!(
        server.log(),
        "hang-up-server: never is neither end nor enter"
    );
    assert!(!server.finish().0.success());
}
