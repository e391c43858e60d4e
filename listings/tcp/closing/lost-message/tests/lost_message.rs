mod support;

use std::io::{self, ErrorKind, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::{DEADLINE, Program, again};

fn server(how: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lost-message-server"));
    Program::start(command.args(["127.0.0.1:0", how]))
}

/// A client, and what it reads as its input.
fn client(addr: SocketAddr, how: &str) -> (Program, PipeWriter) {
    let (input, keyboard) = io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lost-message-client"));
    command.args([&addr.to_string(), how]).stdin(input);
    (Program::start(&mut command), keyboard)
}

#[test]
fn the_first_write_after_the_end_succeeds_and_a_later_one_fails() {
    let mut server = server("silent");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"one\n").unwrap();
    assert_eq!(server.log(), "stored \"one\\n\", closed");
    // The server's end is here, so nobody is left to read what follows.
    assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);

    stream.write_all(b"two\n").unwrap();
    // Then the reset is on its way, and after it comes, a write fails.
    let error = (0..u64::MAX)
        .find_map(|_| stream.write_all(b"three\n").err())
        .unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let again = stream.write_all(b"four\n").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::BrokenPipe);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

/// On Linux it is the order of FIN and RST that makes the error.
#[cfg(target_os = "linux")]
#[test]
fn a_reset_without_an_end_before_it_is_another_error() {
    use std::net::TcpListener;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    stream.write_all(b"unread").unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    again(|| peer.peek(&mut [0])).unwrap();
    peer.write_all(b"x").unwrap();
    drop(peer); // with unread bytes

    let error = (0..u64::MAX)
        .find_map(|_| stream.write_all(b"more").err())
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // It is told once. After that the connection is closed, and that is all.
    let error = stream.write_all(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn the_client_calls_a_lost_line_ok() {
    let mut server = server("silent");
    let (mut client, mut keyboard) = client(server.address(), "silent");
    assert_eq!(client.line(), "connected");
    keyboard.write_all(b"one\n").unwrap();
    assert_eq!(client.line(), "ok \"one\\n\"");
    assert_eq!(server.log(), "stored \"one\\n\", closed");
    keyboard.write_all(b"two\n").unwrap();
    assert_eq!(client.line(), "ok \"two\\n\"");
}

#[test]
fn with_acknowledgements_the_client_knows_which_line_may_be_lost() {
    let mut server = server("ack");
    let addr = server.address();
    let (mut client, mut keyboard) = client(addr, "ack");
    assert_eq!(client.line(), "connected");
    keyboard.write_all(b"one\n").unwrap();
    assert_eq!(client.line(), "ok \"one\\n\"");
    assert_eq!(server.log(), "stored \"one\\n\", closed");
    keyboard.write_all(b"two\n").unwrap();
    let (status, stdout, stderr) = client.finish();
    assert!(!status.success());
    assert!(stdout.is_empty(), "{stdout:?}");
    let said = "lost-message-client: \"two\\n\" may be lost: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}

#[test]
fn half_a_line_is_not_stored() {
    let mut server = server("ack");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"half").unwrap();
    drop(stream);
    assert_eq!(server.log(), "\"half\" is no whole line");
}

#[test]
fn a_wrong_argument_is_named() {
    let (status, _, stderr) = server("loud").finish();
    assert!(!status.success());
    assert_eq!(
        stderr,
        ["lost-message-server: loud is neither silent nor ack"]
    );
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let (status, _, stderr) = client(addr, "loud").0.finish();
    assert!(!status.success());
    assert_eq!(
        stderr,
        ["lost-message-client: loud is neither silent nor ack"]
    );
}
