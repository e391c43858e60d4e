mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use support::{DEADLINE, Program, again};

const MESSAGE: &[u8] = b"two and a half words";

fn server(mode: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_deaf-server"))
            .args(["127.0.0.1:0", mode]),
    )
}

fn connect(server: &mut Program) -> TcpStream {
    let stream =
        TcpStream::connect_timeout(&server.address(), DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn read_once_an_event_and_the_rest_waits_for_ever() {
    let mut server = server("once");
    let mut stream = connect(&mut server);
    stream.write_all(MESSAGE).unwrap();
    let mut reply = [0; 8];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, MESSAGE[..8]);

    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let error = again(|| stream.read(&mut reply)).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );

    // Only something new is an event. Then the answer is that to the old.
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"?").unwrap();
    again(|| stream.read_exact(&mut reply)).unwrap();
    assert_eq!(reply, MESSAGE[8..16]);
}

#[test]
fn drained_and_nothing_is_left_behind() {
    let mut server = server("drain");
    let mut stream = connect(&mut server);
    stream.write_all(MESSAGE).unwrap();
    let mut reply = [0; MESSAGE.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply, MESSAGE);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut reply).unwrap(), 0);
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": closed"));
}

#[test]
fn another_mode_is_refused() {
    let (status, _, stderr) = server("twice").finish();
    assert!(!status.success());
    assert_eq!(stderr, ["deaf-server: twice is neither once nor drain"]);
}
