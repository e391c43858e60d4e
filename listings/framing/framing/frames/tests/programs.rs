//! The server and the client over sockets, and the Python twins against them.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use frames::Framing;
use support::{DEADLINE, Program, again, python};

fn server(framing: &str) -> (Program, SocketAddr) {
    server_with_patience(framing, "60000")
}

fn server_with_patience(
    framing: &str,
    milliseconds: &str,
) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frames-server"));
    let mut server =
        Program::start(command.args(["127.0.0.1:0", framing, milliseconds]));
    let addr = server.address();
    (server, addr)
}

fn client(
    addr: SocketAddr,
    framing: &str,
    piece: &str,
    messages: &[&str],
) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frames-client"));
    command
        .args([&addr.to_string(), framing, piece])
        .args(messages);
    Program::start(&mut command)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// The next line of the server's log, without the address of the peer.
fn log(server: &mut Program) -> String {
    let line = server.log();
    let (_, said) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
    said.to_string()
}

/// The server closes: an end of stream, or a reset if it had not read everything.
fn is_closed(mut stream: TcpStream) {
    let mut buffer = [0];
    match again(|| stream.read(&mut buffer)) {
        Ok(n) => assert_eq!(n, 0),
        Err(error) => assert!(matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
        )),
    }
}

#[test]
fn frames_arrive_whatever_the_pieces() {
    let arrive = |framing: &str| {
        let (mut server, addr) = server(framing);
        for piece in ["all", "5"] {
            let (status, stdout, stderr) =
                client(addr, framing, piece, &["one", "two"]).finish();
            assert!(status.success(), "{stderr:?}");
            assert!(stdout[0].ends_with(" bytes, frames: 2"), "{stdout:?}");
            assert_eq!(log(&mut server), "frame \"one\"");
            assert_eq!(log(&mut server), "frame \"two\"");
            assert_eq!(log(&mut server), "closed after 2");
        }
    };
    // All at once, because a client that sends in pieces pauses.
    thread::scope(|scope| {
        for framing in ["fixed3", "lines", "escaped", "u16", "u32"] {
            scope.spawn(move || arrive(framing));
        }
    });
}

#[test]
fn a_payload_may_hold_the_delimiter_if_it_is_escaped() {
    let message = "two\nlines and a \\";
    let (mut server, addr) = server("escaped");
    let (status, ..) = client(addr, "escaped", "all", &[message, ""]).finish();
    assert!(status.success());
    assert_eq!(log(&mut server), format!("frame {message:?}"));
    assert_eq!(log(&mut server), "frame \"\"");
}

#[test]
fn a_payload_that_holds_the_delimiter_is_not_sent_without() {
    let (mut server, addr) = server("lines");
    let (status, _, stderr) = client(addr, "lines", "all", &["a\nb"]).finish();
    assert!(!status.success());
    let said =
        format!("frames-client: \"a\\nb\" for {addr}: a newline at offset 1");
    assert!(stderr[0].starts_with(&said), "{stderr:?}");

    // Who writes it nevertheless has written two frames.
    connect(addr).write_all(b"a\nb\n").unwrap();
    assert_eq!(log(&mut server), "frame \"a\"");
    assert_eq!(log(&mut server), "frame \"b\"");
    assert_eq!(log(&mut server), "closed after 2");
}

#[test]
fn one_bad_client_does_not_end_the_server() {
    let (mut server, addr) = server("u32");
    for (bytes, said) in [
        (
            &b"\xff\xff\xff\xff"[..],
            "a frame of 4294967295 bytes, and the limit is 65536",
        ),
        (
            b"GET ",
            "a frame of 1195725856 bytes, and the limit is 65536",
        ),
        (
            b"\0\x01\0\x01",
            "a frame of 65537 bytes, and the limit is 65536",
        ),
        (b"\0", "the stream ended after 1 bytes of a frame"),
        (
            b"\0\0\0\x05hell",
            "the stream ended after 8 bytes of a frame",
        ),
    ] {
        let mut stream = connect(addr);
        stream.write_all(bytes).unwrap();
        // The server may have closed already.
        let _ = stream.shutdown(Shutdown::Write);
        is_closed(stream);
        assert_eq!(log(&mut server), said);
    }
    connect(addr).write_all(b"\0\0\0\x05hello").unwrap();
    assert_eq!(log(&mut server), "frame \"hello\"");
}

#[test]
fn a_frame_as_long_as_the_limit_is_taken() {
    let (mut server, addr) = server("u32");
    let mut bytes = Vec::new();
    Framing::U32.encode(&[b'x'; 65536], &mut bytes).unwrap();
    connect(addr).write_all(&bytes).unwrap();
    assert_eq!(log(&mut server), "frame of 65536 bytes");
}

#[test]
fn a_bad_escape_ends_the_connection() {
    let (mut server, addr) = server("escaped");
    let mut stream = connect(addr);
    stream.write_all(b"fine\nnot\\x fine\n").unwrap();
    assert_eq!(log(&mut server), "frame \"fine\"");
    assert_eq!(log(&mut server), "a backslash before the byte 0x78");
    is_closed(stream);
}

#[test]
fn a_length_that_never_becomes_whole_meets_the_deadline() {
    let (mut server, addr) = server_with_patience("u32", "300");
    let mut stream = connect(addr);
    stream.write_all(b"\0").unwrap();
    assert_eq!(log(&mut server), "no whole frame within 300ms");
    is_closed(stream);
}

#[test]
fn a_byte_now_and_then_meets_the_deadline_too() {
    let (mut server, addr) = server_with_patience("u32", "300");
    let mut stream = connect(addr);
    stream.write_all(b"\0\0\xff\xff").unwrap();
    // The pause is the client's slowness; nothing is waited for.
    while stream.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(log(&mut server), "no whole frame within 300ms");
}

#[test]
fn wrong_arguments_are_named() {
    for (program, args, said) in [
        (
            env!("CARGO_BIN_EXE_frames-server"),
            &["127.0.0.1:0", "fixed0"][..],
            "frames-server: fixed0 as a framing: ",
        ),
        (
            env!("CARGO_BIN_EXE_frames-server"),
            &["127.0.0.1:0", "u32", "0"],
            "frames-server: 0 as a number of milliseconds: ",
        ),
        (
            env!("CARGO_BIN_EXE_frames-server"),
            &["nowhere"],
            "frames-server: bind nowhere: ",
        ),
        (
            env!("CARGO_BIN_EXE_frames-client"),
            &["127.0.0.1:1", "u64"],
            "frames-client: u64 as a framing: ",
        ),
        (
            env!("CARGO_BIN_EXE_frames-client"),
            &["127.0.0.1:1", "u32", "0"],
            "frames-client: 0 as a number of bytes: ",
        ),
        (
            env!("CARGO_BIN_EXE_frames-client"),
            &["127.0.0.1:1", "fixed4", "all", "hello"],
            "frames-client: \"hello\" for 127.0.0.1:1: 5 bytes, and every frame has 4",
        ),
    ] {
        let (status, stdout, stderr) =
            Program::start(Command::new(program).args(args)).finish();
        assert!(!status.success());
        assert!(stdout.is_empty());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].starts_with(said), "{stderr:?}");
    }
}

#[test]
fn a_python_client_sends_frames_to_the_rust_server() {
    let Some(mut client) = python("python/frames-client.py") else {
        return;
    };
    let (mut server, addr) = server("u32");
    let port = addr.port().to_string();
    client.args(["127.0.0.1", &port, "one", "", "粘包"]);
    let (status, _, stderr) = Program::start(&mut client).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(log(&mut server), "frame \"one\"");
    assert_eq!(log(&mut server), "frame \"\"");
    assert_eq!(log(&mut server), "frame \"粘包\"");
    assert_eq!(log(&mut server), "closed after 3");
}

#[test]
fn a_rust_client_sends_frames_to_the_python_server() {
    let arrive = |piece: &str| {
        let Some(mut server) = python("python/frames-server.py") else {
            return;
        };
        let mut server = Program::start(server.args(["127.0.0.1", "0"]));
        let addr = server.address();
        let (status, _, stderr) =
            client(addr, "u32", piece, &["one", "", "three"]).finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(server.line(), "length 3, b'one'");
        assert_eq!(server.line(), "length 0, b''");
        assert_eq!(server.line(), "length 5, b'three'");
        assert_eq!(server.line(), "closed");
    };
    thread::scope(|scope| {
        for piece in ["all", "6"] {
            scope.spawn(move || arrive(piece));
        }
    });
}

#[test]
fn the_python_server_refuses_what_the_rust_server_refuses() {
    for (bytes, said) in [
        (
            &b"\xff\xff\xff\xff"[..],
            "a frame of 4294967295 bytes, and the limit is 65536",
        ),
        (b"\0", "the stream ended inside of a prefix"),
        (b"\0\0\0\x05hell", "the stream ended inside of a frame"),
    ] {
        let Some(mut server) = python("python/frames-server.py") else {
            return;
        };
        let mut server = Program::start(server.args(["127.0.0.1", "0"]));
        let addr = server.address();
        connect(addr).write_all(bytes).unwrap();
        let (status, _, stderr) = server.finish();
        assert!(!status.success());
        assert!(stderr[0].ends_with(said), "{stderr:?}");
    }
}
