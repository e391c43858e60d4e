//! The codec without a socket, and over sockets with the blocking functions.

mod support;

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use bytes::{Bytes, BytesMut};
use codec::header::{Kind, LIMIT, QUIET, read_message, write_message};
use codec::{Message, MessageCodec};
use support::{DEADLINE, Program};
use tokio_util::codec::{Decoder, Encoder};

fn message(kind: Kind, body: &'static str) -> Message {
    Message {
        kind,
        flags: 0,
        body: Bytes::from(body),
    }
}

fn server(milliseconds: &str) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codec-server"));
    let mut server =
        Program::start(command.args(["127.0.0.1:0", milliseconds]));
    let addr = server.address();
    (server, addr)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn any_split_gives_the_same_messages() {
    let wanted = [message(Kind::Ask, "one"), message(Kind::Other(9), "")];
    let mut bytes = BytesMut::new();
    for message in &wanted {
        MessageCodec.encode(message.clone(), &mut bytes).unwrap();
    }
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let mut buffer = BytesMut::new();
            let mut found = Vec::new();
            for piece in
                [&bytes[..first], &bytes[first..second], &bytes[second..]]
            {
                buffer.extend_from_slice(piece);
                while let Some(message) =
                    MessageCodec.decode(&mut buffer).unwrap()
                {
                    found.push(message);
                }
            }
            assert_eq!(found, wanted);
        }
    }
}

#[test]
fn what_one_writes_the_other_reads() {
    let mut blocking = Vec::new();
    write_message(&mut blocking, Kind::Ask, QUIET, b"hello").unwrap();
    let mut ours = BytesMut::new();
    let mut sent = message(Kind::Ask, "hello");
    sent.flags = QUIET;
    MessageCodec.encode(sent.clone(), &mut ours).unwrap();
    assert_eq!(ours, blocking);
    let received = MessageCodec.decode(&mut ours).unwrap();
    assert_eq!(received, Some(sent));
}

#[test]
fn a_length_above_the_limit_reserves_nothing() {
    let mut buffer = BytesMut::from(&b"\x01\x01\0\0\xff\xff\xff\xff"[..]);
    let before = buffer.capacity();
    let error = MessageCodec.decode(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(buffer.capacity(), before);

    let body = Bytes::from(vec![b'x'; LIMIT as usize + 1]);
    let too_long = Message {
        kind: Kind::Ask,
        flags: 0,
        body,
    };
    let mut buffer = BytesMut::new();
    assert!(MessageCodec.encode(too_long, &mut buffer).is_err());
    assert!(buffer.is_empty());
}

#[test]
fn the_server_answers_a_blocking_client() {
    let (mut server, addr) = server("60000");
    let mut stream = connect(addr);
    for body in ["hello", "", "粘包"] {
        write_message(&mut stream, Kind::Ask, 0, body.as_bytes()).unwrap();
        let (header, answer) = read_message(&mut stream).unwrap().unwrap();
        assert_eq!(header.kind, Kind::Answer);
        assert_eq!(answer, body.to_ascii_uppercase().as_bytes());
    }
    write_message(&mut stream, Kind::Ask, QUIET, b"hush").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_message(&mut stream).unwrap(), None);
    assert!(server.log().ends_with(": closed after 4"));
}

#[test]
fn the_client_asks_a_blocking_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut asked = Vec::new();
        while let Some((_, body)) = read_message(&mut stream).unwrap() {
            write_message(&mut stream, Kind::Answer, 0, &body).unwrap();
            asked.push(body);
        }
        asked
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_codec-client"));
    let client = command.args([&addr.to_string(), "one", "two"]);
    let (status, stdout, stderr) = Program::start(client).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["answer \"one\"", "answer \"two\""]);
    assert_eq!(serving.join().unwrap(), [b"one", b"two"]);
}

#[test]
fn a_bad_header_or_half_a_message_ends_its_connection_and_no_other() {
    let (mut server, addr) = server("60000");
    for (bytes, said) in [
        (&b"GET / HTTP/1.1\r\n"[..], "version 71, and we speak 1"),
        (b"\x01\x01\0\0\0\0\0\x05hell", "bytes remaining on stream"),
    ] {
        let mut stream = connect(addr);
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let line = server.log();
        assert!(line.ends_with(said), "{line}");
    }
    let mut stream = connect(addr);
    write_message(&mut stream, Kind::Ask, 0, b"hello").unwrap();
    assert_eq!(read_message(&mut stream).unwrap().unwrap().1, b"HELLO");
}

#[test]
fn silence_meets_the_deadline() {
    let (mut server, addr) = server("300");
    let mut stream = connect(addr);
    stream.write_all(b"\x01").unwrap();
    assert!(server.log().contains(": no whole message within 300ms"));
}

#[test]
fn errors_name_the_address() {
    for (program, said) in [
        (
            env!("CARGO_BIN_EXE_codec-server"),
            "codec-server: bind nowhere: ",
        ),
        (
            env!("CARGO_BIN_EXE_codec-client"),
            "codec-client: connect to nowhere: ",
        ),
    ] {
        let (status, _, stderr) =
            Program::start(Command::new(program).arg("nowhere")).finish();
        assert!(!status.success());
        assert!(stderr[0].starts_with(said), "{stderr:?}");
    }
}
