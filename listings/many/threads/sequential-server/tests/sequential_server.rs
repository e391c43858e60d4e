mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use socket2::SockRef;
use support::{DEADLINE, Program, again};

fn server(more: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_sequential-server"))
            .arg("127.0.0.1:0")
            .args(more),
    )
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn the_second_client_waits_until_the_first_has_closed() {
    let mut server = server(&[]);
    let addr = server.address();
    let first = connect(addr);
    assert!(server.log().ends_with(": connected"));
    let mut second = connect(addr);
    second.write_all(b"my turn?").unwrap();
    let short = Duration::from_millis(200);
    second.set_read_timeout(Some(short)).unwrap();
    let mut reply = [0; 8];
    let error = again(|| second.read(&mut reply)).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    drop(first);
    second.set_read_timeout(Some(DEADLINE)).unwrap();
    second.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"my turn?");
}

#[test]
fn a_reply_arrives_after_half_close() {
    let mut server = server(&[]);
    let mut stream = connect(server.address());
    stream.write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "last words");
}

#[test]
fn a_silent_client_is_dismissed_and_a_reset_ends_that_client_only() {
    let mut server = server(&["1", "300"]);
    let addr = server.address();
    let mut silent = connect(addr);
    assert_eq!(again(|| silent.read(&mut [0; 1])).unwrap(), 0);
    let rude = connect(addr);
    SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    let mut stream = connect(addr);
    stream.write_all(b"!").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
}

#[test]
fn a_wrong_number_of_milliseconds_is_named() {
    let (status, stdout, stderr) = server(&["1", "0"]).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    let message = "sequential-server: 0 as a number of milliseconds: ";
    assert!(stderr[0].starts_with(message), "{stderr:?}");
}
