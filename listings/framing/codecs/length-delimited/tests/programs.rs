//! The programs, and a peer of theirs that is written by hand.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use support::{DEADLINE, Program, again};

fn server(milliseconds: &str) -> (Program, SocketAddr) {
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_length-delimited-server"));
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

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_be_bytes(), payload].concat()
}

#[test]
fn it_takes_what_is_framed_by_hand() {
    let (mut server, addr) = server("60000");
    let mut stream = connect(addr);
    stream.write_all(&frame(b"one")).unwrap();
    stream.write_all(&frame(b"")).unwrap();
    stream.write_all(&frame(&[b'x'; 65536])).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for said in [
        "frame \"one\"",
        "frame \"\"",
        "frame of 65536 bytes",
        "closed after 3",
    ] {
        let line = server.log();
        assert!(line.ends_with(said), "{line}");
    }
}

#[test]
fn what_it_sends_is_read_by_hand() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let reading = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_length-delimited-client"));
    let client = command.args([&addr.to_string(), "one", "粘包"]);
    let (status, stdout, stderr) = Program::start(client).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["frames sent: 2"]);
    let wanted = [frame(b"one"), frame("粘包".as_bytes())].concat();
    assert_eq!(reading.join().unwrap(), wanted);
}

#[test]
fn the_client_sends_no_frame_that_the_server_would_refuse() {
    let (_server, addr) = server("60000");
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_length-delimited-client"));
    let client = command.args([addr.to_string(), "x".repeat(65537)]);
    let (status, _, stderr) = Program::start(client).finish();
    assert!(!status.success());
    let said =
        format!("length-delimited-client: send to {addr}: frame size too big");
    assert_eq!(stderr, [said]);
}

#[test]
fn a_length_above_the_limit_ends_its_connection_and_no_other() {
    let (mut server, addr) = server("60000");
    let mut hostile = connect(addr);
    hostile.write_all(&[0, 1, 0, 1]).unwrap();
    assert!(server.log().ends_with(": frame size too big"));
    assert_eq!(again(|| hostile.read(&mut [0])).unwrap(), 0);

    let mut stream = connect(addr);
    stream.write_all(&frame(b"still there?")).unwrap();
    assert!(server.log().ends_with(": frame \"still there?\""));
}

#[test]
fn half_a_frame_is_an_error_and_silence_meets_the_deadline() {
    let (mut server, addr) = server("300");
    let mut stream = connect(addr);
    stream.write_all(&frame(b"hello")[..6]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(server.log().ends_with(": bytes remaining on stream"));

    // The end right after a prefix is one inside of a frame too.
    let mut stream = connect(addr);
    stream.write_all(&frame(b"hello")[..4]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(server.log().ends_with(": bytes remaining on stream"));

    let mut stream = connect(addr);
    stream.write_all(&[0, 0]).unwrap();
    assert!(server.log().contains(": no whole frame within 300ms"));
}

#[test]
fn errors_name_the_address() {
    for (program, said) in [
        (
            env!("CARGO_BIN_EXE_length-delimited-server"),
            "length-delimited-server: bind nowhere: ",
        ),
        (
            env!("CARGO_BIN_EXE_length-delimited-client"),
            "length-delimited-client: connect to nowhere: ",
        ),
    ] {
        let (status, _, stderr) =
            Program::start(Command::new(program).arg("nowhere")).finish();
        assert!(!status.success());
        assert!(stderr[0].starts_with(said), "{stderr:?}");
    }
}
