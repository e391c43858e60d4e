//! The server and the client over sockets.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use header::{Kind, QUIET, read_message, write_message};
use support::{DEADLINE, Program, again};

fn server(milliseconds: &str) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_header-server"));
    let mut server =
        Program::start(command.args(["127.0.0.1:0", milliseconds]));
    let addr = server.address();
    (server, addr)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The next line of the server's log, without the address of the peer.
fn log(server: &mut Program) -> String {
    let line = server.log();
    let (_, said) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
    said.to_string()
}

#[test]
fn each_way_to_write_gets_the_same_answers() {
    let (mut server, addr) = server("60000");
    for way in ["two", "nodelay", "one", "vectored"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_header-client"));
        command.args([&addr.to_string(), way, "3"]);
        let (status, stdout, stderr) = Program::start(&mut command).finish();
        assert!(status.success(), "{way}: {stderr:?}");
        assert_eq!(stdout.len(), 3);
        assert!(stdout[2].starts_with("answer 3 after "), "{stdout:?}");
        assert_eq!(log(&mut server), "closed after 3");
    }
}

#[test]
fn a_message_may_be_cut_anywhere() {
    let (_server, addr) = server("60000");
    let mut bytes = Vec::new();
    write_message(&mut bytes, Kind::Ask, 0, b"one").unwrap();
    write_message(&mut bytes, Kind::Ask, 0, "粘包".as_bytes()).unwrap();
    for cut in 0..=bytes.len() {
        let mut stream = connect(addr);
        stream.write_all(&bytes[..cut]).unwrap();
        stream.write_all(&bytes[cut..]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        for expected in ["ONE", "粘包"] {
            let (header, body) = read_message(&mut stream).unwrap().unwrap();
            assert_eq!(header.kind, Kind::Answer);
            assert_eq!(body, expected.as_bytes());
        }
        assert_eq!(read_message(&mut stream).unwrap(), None);
    }
}

#[test]
fn quiet_messages_and_unknown_ones_are_passed_over() {
    let (mut server, addr) = server("60000");
    let mut stream = connect(addr);
    write_message(&mut stream, Kind::Ask, QUIET, b"hush").unwrap();
    write_message(&mut stream, Kind::Other(9), 0, b"what?").unwrap();
    // An unknown flag is ignored.
    write_message(&mut stream, Kind::Ask, 0x8000, b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (_, body) = read_message(&mut stream).unwrap().unwrap();
    assert_eq!(body, b"HELLO");
    assert_eq!(read_message(&mut stream).unwrap(), None);
    assert_eq!(log(&mut server), "Other(9) is skipped");
    assert_eq!(log(&mut server), "closed after 3");
}

#[test]
fn a_bad_header_ends_its_connection_and_no_other() {
    let (mut server, addr) = server("60000");
    for (header, said) in [
        (*b"GET / HT", "version 71, and we speak 1"),
        (*b"\x02\x01\0\0\0\0\0\x05", "version 2, and we speak 1"),
        (
            *b"\x01\x01\0\0\xff\xff\xff\xff",
            "a body of 4294967295 bytes, and the limit is 65536",
        ),
    ] {
        let mut stream = connect(addr);
        stream.write_all(&header).unwrap();
        assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);
        assert_eq!(log(&mut server), said);
    }
    let mut stream = connect(addr);
    stream.write_all(b"\x01\x01\0\0\0\0\0\x05hell").unwrap();
    drop(stream);
    assert_eq!(log(&mut server), "failed to fill whole buffer");

    let mut stream = connect(addr);
    write_message(&mut stream, Kind::Ask, 0, b"hello").unwrap();
    assert_eq!(read_message(&mut stream).unwrap().unwrap().1, b"HELLO");
}

#[test]
fn silence_and_slowness_meet_the_same_deadline() {
    let silent = || {
        let (mut server, addr) = server("300");
        let mut stream = connect(addr);
        stream.write_all(b"\x01").unwrap();
        assert_eq!(log(&mut server), "no progress within the deadline");
        assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);
    };
    let slow = || {
        let (mut server, addr) = server("300");
        let mut stream = connect(addr);
        stream.write_all(b"\x01\x01\0\0\0\0\xff\xff").unwrap();
        // The pause is the client's slowness; nothing is waited for.
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(log(&mut server), "no progress within the deadline");
    };
    thread::scope(|scope| {
        scope.spawn(silent);
        scope.spawn(slow);
    });
}

#[test]
fn a_client_that_never_reads_meets_the_deadline() {
    let (mut server, addr) = server("300");
    let mut stream = connect(addr);
    let body = [b'x'; 65536];
    // Until the buffers of both sides are full, or the server has closed.
    while write_message(&mut stream, Kind::Ask, 0, &body).is_ok() {}
    assert_eq!(log(&mut server), "no progress within the deadline");
}

#[test]
fn errors_name_the_address() {
    let server = env!("CARGO_BIN_EXE_header-server");
    let client = env!("CARGO_BIN_EXE_header-client");
    let (_listening, addr) = self::server("60000");
    let addr = addr.to_string();
    for (program, args, said) in [
        (server, &["nowhere"][..], "header-server: bind nowhere: "),
        (
            server,
            &["127.0.0.1:0", "0"],
            "header-server: 0 as a number of milliseconds: ",
        ),
        (client, &["nowhere"], "header-client: connect to nowhere: "),
        (
            client,
            &["127.0.0.1:1", "two", "0"],
            "header-client: 0 as a number of requests: ",
        ),
        (
            client,
            &[&addr, "three"],
            &format!("header-client: send to {addr}: three is no way"),
        ),
    ] {
        let (status, _, stderr) =
            Program::start(Command::new(program).args(args)).finish();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].starts_with(said), "{stderr:?}");
    }
}
