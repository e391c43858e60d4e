mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::{DEADLINE, Program, again};

fn server(milliseconds: &str) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_read-frame-server"));
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
fn frames_arrive_one_by_one() {
    let (mut server, addr) = server("60000");
    let mut command = Command::new(env!("CARGO_BIN_EXE_read-frame-client"));
    command.args([&addr.to_string(), "one", "", "粘包"]);
    let (status, stdout, stderr) = Program::start(&mut command).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["frames sent: 3"]);
    assert_eq!(log(&mut server), "frame \"one\"");
    assert_eq!(log(&mut server), "frame \"\"");
    assert_eq!(log(&mut server), "frame \"粘包\"");
    assert_eq!(log(&mut server), "closed after 3");
}

#[test]
fn a_frame_may_be_cut_anywhere() {
    let (mut server, addr) = server("60000");
    let bytes = b"\0\0\0\x03one\0\0\0\x05three";
    for cut in 0..=bytes.len() {
        let mut stream = connect(addr);
        stream.write_all(&bytes[..cut]).unwrap();
        stream.write_all(&bytes[cut..]).unwrap();
        drop(stream);
        assert_eq!(log(&mut server), "frame \"one\"");
        assert_eq!(log(&mut server), "frame \"three\"");
        assert_eq!(log(&mut server), "closed after 2");
    }
}

#[test]
fn a_stream_that_ends_inside_of_a_frame_is_an_error() {
    let (mut server, addr) = server("60000");
    let bytes = b"\0\0\0\x03one";
    for end in 1..bytes.len() {
        let mut stream = connect(addr);
        stream.write_all(&bytes[..end]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(log(&mut server), "failed to fill whole buffer");
    }
}

#[test]
fn a_length_above_the_limit_is_refused_and_the_server_goes_on() {
    let (mut server, addr) = server("60000");
    for (prefix, length) in [([0xff; 4], u32::MAX), ([0, 1, 0, 1], 65537)] {
        let mut stream = connect(addr);
        stream.write_all(&prefix).unwrap();
        let said = format!("a frame of {length} bytes, the limit is 65536");
        assert_eq!(log(&mut server), said);
        assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);
    }
    let mut stream = connect(addr);
    stream.write_all(&[0, 1, 0, 0]).unwrap();
    stream.write_all(&[b'x'; 65536]).unwrap();
    assert!(log(&mut server).starts_with("frame \"xxx"));
}

#[test]
fn silence_and_slowness_meet_the_same_deadline() {
    let silent = || {
        let (mut server, addr) = server("300");
        let mut stream = connect(addr);
        stream.write_all(b"\0").unwrap();
        assert_eq!(log(&mut server), "no whole frame within the deadline");
        assert_eq!(again(|| stream.read(&mut [0])).unwrap(), 0);
    };
    let slow = || {
        let (mut server, addr) = server("300");
        let mut stream = connect(addr);
        stream.write_all(b"\0\0\xff\xff").unwrap();
        // The pause is the client's slowness; nothing is waited for.
        let error = loop {
            match stream.write_all(b"x") {
                Ok(()) => thread::sleep(Duration::from_millis(20)),
                Err(error) => break error,
            }
        };
        assert!(matches!(
            error.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
        ));
        assert_eq!(log(&mut server), "no whole frame within the deadline");
    };
    thread::scope(|scope| {
        scope.spawn(silent);
        scope.spawn(slow);
    });
}

#[test]
fn errors_name_the_address() {
    let server = env!("CARGO_BIN_EXE_read-frame-server");
    let client = env!("CARGO_BIN_EXE_read-frame-client");
    for (program, args, said) in [
        (
            server,
            &["nowhere"][..],
            "read-frame-server: bind nowhere: ",
        ),
        (
            server,
            &["127.0.0.1:0", "0"],
            "read-frame-server: 0 as a number of milliseconds: ",
        ),
        (
            client,
            &["nowhere"],
            "read-frame-client: connect to nowhere: ",
        ),
    ] {
        let (status, _, stderr) =
            Program::start(Command::new(program).args(args)).finish();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].starts_with(said), "{stderr:?}");
    }
}
