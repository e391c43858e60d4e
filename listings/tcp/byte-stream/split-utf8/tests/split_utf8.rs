mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use split_utf8::Decoder;
use support::{DEADLINE, Program, again};

/// Characters of one, two, three and four bytes.
const TEXT: &str = "aß粘🦀!";

fn server(addr: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_split-utf8-server"));
    Program::start(command.arg(addr))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[test]
fn every_split_gives_the_same_text() {
    let bytes = TEXT.as_bytes();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut text = String::new();
            for piece in
                [&bytes[..first], &bytes[first..second], &bytes[second..]]
            {
                text += &decoder.decode(piece).unwrap();
            }
            assert_eq!(text, TEXT);
            decoder.finish().unwrap();
        }
    }
}

#[test]
fn a_byte_at_a_time_gives_each_character_with_its_last_byte() {
    let mut decoder = Decoder::default();
    let mut said = Vec::new();
    for byte in "粘a".bytes() {
        said.push(decoder.decode(&[byte]).unwrap());
    }
    assert_eq!(said, ["", "", "粘", "a"]);
}

#[test]
fn what_can_never_become_text_is_an_error_at_once() {
    for bad in [&b"\xff"[..], b"ok \xe7x", b"\xc0\x80", b"\xed\xa0\x80"] {
        assert!(Decoder::default().decode(bad).is_err(), "{bad:?}");
    }
    // The second byte makes it wrong, in whichever piece it comes.
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(b"\xe7").unwrap(), "");
    assert!(decoder.decode(b"x").is_err());
}

#[test]
fn an_end_in_the_middle_of_a_character_is_an_error() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(b"a\xe7\xb2").unwrap(), "a");
    assert!(decoder.finish().is_err());
}

/// Each byte is logged before the next one is sent, so each is a read.
#[test]
fn the_server_decodes_a_character_that_comes_byte_by_byte() {
    let mut server = server("127.0.0.1:0");
    let mut stream = connect(server.address());
    for (byte, said) in "粘".bytes().zip([
        r#"[e7] alone "�", decoded """#,
        r#"[b2] alone "�", decoded """#,
        r#"[98] alone "�", decoded "粘""#,
    ]) {
        stream.write_all(&[byte]).unwrap();
        assert_eq!(server.log(), said);
    }
    drop(stream);
    assert!(server.log().ends_with(": closed"));
}

#[test]
fn bad_bytes_end_that_client_only() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    for (bytes, said) in [
        (&b"\xff"[..], ": invalid utf-8"),
        (b"\xe7", ": the end: incomplete utf-8"),
    ] {
        let mut stream = connect(addr);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Nothing comes but the end, and how it comes is the kernel's choice.
        let _ = again(|| stream.read(&mut [0]));
        let mut log = server.log();
        if log.starts_with('[') {
            log = server.log();
        }
        assert!(log.contains(said), "{log}");
    }
    let mut stream = connect(addr);
    stream.write_all(b"ok").unwrap();
    assert!(server.log().ends_with(r#"decoded "ok""#));
}

#[test]
fn the_client_sends_every_byte_of_its_text() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_split-utf8-client"));
    let client = Program::start(command.args([&addr, "ß粘"]));
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert_eq!(received, "ß粘");
    assert!(client.finish().0.success());
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (status, _, stderr) = server(&addr.to_string()).finish();
    assert!(!status.success());
    let begin = format!("split-utf8-server: bind {addr}: ");
    assert!(stderr[0].starts_with(&begin), "{stderr:?}");
}
