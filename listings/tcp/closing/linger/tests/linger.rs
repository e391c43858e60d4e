mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
#[cfg(target_os = "linux")]
use std::time::Duration;

use socket2::SockRef;
use support::{DEADLINE, Program};

fn server() -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linger-server"));
    Program::start(command.arg("127.0.0.1:0"))
}

fn client(addr: SocketAddr, seconds: Option<&str>) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linger-client"));
    Program::start(command.arg(addr.to_string()).args(seconds))
}

#[test]
fn without_linger_and_with_time_the_end_arrives() {
    let mut server = server();
    let addr = server.address();
    for seconds in [None, Some("30")] {
        let (status, stdout, stderr) = client(addr, seconds).finish();
        assert!(status.success(), "{stderr:?}");
        assert!(stdout[0].starts_with("closed, after "), "{stdout:?}");
        assert_eq!(server.log(), "got 10 bytes, then the end");
    }
}

#[test]
fn a_linger_time_of_zero_resets() {
    let mut server = server();
    let (status, _, stderr) = client(server.address(), Some("0")).finish();
    assert!(status.success(), "{stderr:?}");
    let said = server.log();
    assert!(said.starts_with("got "), "{said}");
    assert!(!said.ends_with("the end"), "{said}");
}

#[test]
fn a_reset_from_the_client_does_not_end_the_server() {
    let mut server = server();
    let addr = server.address();
    let stream = TcpStream::connect(addr).unwrap();
    SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(stream);
    // On some systems a connection that is reset in the queue is never seen.
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"still there?").unwrap();
    drop(stream);
    let wanted = "got 12 bytes, then the end";
    assert!([server.log(), server.log()].contains(&wanted.to_string()));
}

#[test]
fn the_bytes_of_a_stream_can_be_read_before_its_end() {
    let mut server = server();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"x").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(server.log(), "got 1 bytes, then the end");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn linux_counts_whole_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let stream = TcpStream::connect(addr).unwrap();
    let socket = SockRef::from(&stream);
    assert_eq!(socket.linger().unwrap(), None);
    let half = Duration::from_millis(500);
    socket.set_linger(Some(half)).unwrap();
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
}

#[test]
fn a_wrong_argument_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (status, _, stderr) = client(addr, Some("-1")).finish();
    assert!(!status.success());
    let said = "linger-client: -1 as a number of seconds: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}
