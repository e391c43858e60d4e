mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::{DEADLINE, Program, again};

fn server(how: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silent-peer-server"));
    Program::start(command.args(["127.0.0.1:0", how]))
}

fn client(addr: SocketAddr, every: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silent-peer-client"));
    Program::start(command.args([&addr.to_string(), every]))
}

// That a link is cut is tested by the scenes.

#[test]
fn a_client_without_a_heartbeat_is_given_up() {
    let mut server = server("heartbeat");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(server.log(), "connected");
    let said = server.log();
    assert!(said.starts_with("the client is gone, after "), "{said}");
    assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);
}

#[test]
fn a_heartbeat_keeps_a_client() {
    let mut server = server("heartbeat");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    assert_eq!(server.log(), "connected");
    // Longer than the silence that is allowed.
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(100));
        stream.write_all(b".").unwrap();
    }
    drop(stream);
    let said = server.log();
    assert!(said.starts_with("the client has closed, after "), "{said}");
}

#[test]
fn the_client_beats() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let _client = client(addr, "1");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut beats = [0; 3];
    stream.read_exact(&mut beats).unwrap();
    assert_eq!(&beats, b"...");
}

#[test]
fn a_client_that_closes_is_noticed_however_it_is_watched() {
    for how in ["nothing", "keepalive", "heartbeat"] {
        let mut server = server(how);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b".").unwrap();
        drop(stream);
        assert_eq!(server.log(), "connected");
        let said = server.log();
        assert!(said.starts_with("the client has closed, after "), "{said}");
    }
}

#[test]
fn a_wrong_argument_is_named() {
    let (status, _, stderr) = server("luck").finish();
    assert!(!status.success());
    let said = "silent-peer-server: luck is none of ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let (status, _, stderr) = client(addr, "often").finish();
    assert!(!status.success());
    let said = "silent-peer-client: the second argument as milliseconds: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}
