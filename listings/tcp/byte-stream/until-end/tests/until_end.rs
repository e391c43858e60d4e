mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use support::{DEADLINE, Program, again};

fn server(args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_until-end-server"));
    Program::start(command.args(args))
}

fn client(addr: SocketAddr, end: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_until-end-client"));
    Program::start(command.args([&addr.to_string(), end]))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn after_shutdown_the_reply_arrives() {
    let mut server = server(&["127.0.0.1:0"]);
    // The client allows a second, which is not much on a busy machine.
    let mut stream = connect(server.address());
    stream.write_all(b"Hello, world").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "12 bytes");
    assert_eq!(server.log(), "end of stream, and a reply");
}

#[test]
fn the_client_that_shuts_down_prints_the_reply() {
    let mut server = server(&["127.0.0.1:0"]);
    let (status, stdout, stderr) =
        client(server.address(), "shutdown").finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, [r#"received "12 bytes""#]);
}

#[test]
fn without_shutdown_no_reply_comes_although_the_writer_was_dropped() {
    let no_reply = |end: &str| {
        let mut server = server(&["127.0.0.1:0"]);
        let addr = server.address();
        let (status, stdout, stderr) = client(addr, end).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(
            stderr,
            [format!("until-end-client: no answer from {addr} within 1s")]
        );
        // The end of the client's program released the server. What becomes
        // of its reply is another matter.
        let _ = server.log();
    };
    thread::scope(|scope| {
        for end in ["open", "clone"] {
            scope.spawn(move || no_reply(end));
        }
    });
}

#[test]
fn no_byte_and_no_end_come_while_a_clone_lives() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = connect(listener.local_addr().unwrap());
    let (mut server, _) = listener.accept().unwrap();
    let clone = client.try_clone().unwrap();
    drop(client);
    server.set_nonblocking(true).unwrap();
    let error = server.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);

    // `shutdown` ends the connection's side, whatever handles there are.
    clone.shutdown(Shutdown::Write).unwrap();
    server.set_nonblocking(false).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(again(|| server.read(&mut [0])).unwrap(), 0);
}

#[test]
fn a_request_has_a_limit() {
    let mut server = server(&["127.0.0.1:0"]);
    let addr = server.address();
    for (size, answered) in [(65536, true), (65537, false)] {
        let mut stream = connect(addr);
        stream.write_all(&vec![b'x'; size]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        let read = stream.read_to_string(&mut reply);
        if answered {
            assert_eq!(reply, "65536 bytes");
            assert_eq!(server.log(), "end of stream, and a reply");
        } else {
            assert!(read.is_err() || reply.is_empty(), "{reply}");
            assert!(!server.log().contains("a reply"));
        }
    }
}

#[test]
fn a_silent_client_is_dismissed_after_the_limit() {
    let mut server = server(&["127.0.0.1:0", "300"]);
    let addr = server.address();
    let mut silent = connect(addr);
    let said = server.log();
    assert!(!said.contains("a reply"), "{said}");
    assert_eq!(again(|| silent.read(&mut [0])).unwrap(), 0);

    let mut stream = connect(addr);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "0 bytes");
}

#[test]
fn a_wrong_argument_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let bind = format!("until-end-server: bind {addr}: ");
    for (mut program, said) in [
        (
            client(addr, "never"),
            "until-end-client: never is none of open",
        ),
        (
            server(&["127.0.0.1:0", "0"]),
            "until-end-server: 0 as a number of milliseconds: ",
        ),
        (server(&[&addr.to_string()]), &bind),
    ] {
        let line = program.log();
        assert!(line.starts_with(said), "{line}");
        assert!(!program.finish().0.success());
    }
}
