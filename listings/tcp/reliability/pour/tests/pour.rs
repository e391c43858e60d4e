mod support;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use pour::{byte_at, fill, first_wrong};
use socket2::{Domain, SockRef, Socket, Type};
use support::{DEADLINE, Program};

fn server(args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pour-server"));
    Program::start(command.arg("127.0.0.1:0").args(args))
}

fn client(addr: SocketAddr, args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pour-client"));
    Program::start(command.arg(addr.to_string()).args(args))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn eight_bytes_spell_the_offset_of_their_first() {
    let mut stream = [0; 24];
    fill(0, &mut stream);
    assert_eq!(&stream, b"000000000000000800000016");
    fill(99_999_992, &mut stream[..16]);
    assert_eq!(&stream[..16], b"9999999200000000");
    // From any offset on it is the same stream.
    fill(5, &mut stream[..3]);
    assert_eq!(stream[..3], [byte_at(5), byte_at(6), byte_at(7)]);
}

#[test]
fn a_byte_that_is_missing_doubled_or_changed_is_found() {
    let mut stream = vec![0; 100_000];
    fill(0, &mut stream);
    assert_eq!(first_wrong(0, &stream), None);
    assert_eq!(first_wrong(777, &stream[777..]), None);
    for at in [0, 1, 7, 8, 1447, 1448, 65_535, 98_000] {
        let mut changed = stream.clone();
        changed[at] ^= 1;
        assert_eq!(first_wrong(0, &changed), Some(at as u64));
        for length in [1, 8, 100, 256, 1000, 1448] {
            // What follows is at another place: found within 16 bytes.
            let end = at + length;
            let near = at as u64..end as u64 + 16;
            let missing = [&stream[..at], &stream[end..]].concat();
            let doubled = [&stream[..end], &stream[at..]].concat();
            for wrong in [missing, doubled] {
                let found = first_wrong(0, &wrong).unwrap();
                assert!(near.contains(&found), "{at} {length}: {found}");
            }
        }
    }
}

#[test]
fn every_byte_arrives_at_its_place_however_it_is_written() {
    let mut server = server(&[]);
    let addr = server.address();
    for (count, size) in [
        ("0", "1"),
        ("1", "1"),
        ("1000", "1"),
        ("100001", "777"),
        ("2000000", "1000"),
        ("3000000", "1048576"),
    ] {
        let (status, stdout, stderr) = client(addr, &[count, size]).finish();
        assert!(status.success(), "{stderr:?}");
        let said = format!("sent {count} bytes, the slowest write took ");
        assert!(stdout[0].starts_with(&said), "{stdout:?}");
        let end = format!(": {count} bytes, each at its place");
        let log = server.log();
        assert!(log.ends_with(&end), "{log}");
    }
}

#[test]
fn pauses_between_writes_change_nothing() {
    let mut server = server(&[]);
    let (status, _, stderr) =
        client(server.address(), &["40", "8", "5", "5"]).finish();
    assert!(status.success(), "{stderr:?}");
    assert!(server.log().ends_with(": 40 bytes, each at its place"));
}

#[test]
fn a_wrong_byte_is_named_and_ends_that_client_only() {
    let mut server = server(&[]);
    let addr = server.address();
    let mut stream = connect(addr);
    let mut bytes = [0; 2000];
    fill(0, &mut bytes);
    bytes[1448] = b'x';
    stream.write_all(&bytes).unwrap();
    assert!(server.log().ends_with(": a wrong byte at 1448"));
    let (status, ..) = client(addr, &["8", "8"]).finish();
    assert!(status.success());
    assert!(server.log().ends_with(": 8 bytes, each at its place"));
}

/// The client can't end before the server reads: there is no room for so much.
#[test]
fn a_server_that_reads_late_makes_the_client_wait() {
    let late = Duration::from_millis(300);
    let mut server = server(&[&late.as_millis().to_string()]);
    let addr = server.address();
    let start = Instant::now();
    let (status, stdout, stderr) =
        client(addr, &["20000000", "1048576"]).finish();
    assert!(status.success(), "{stderr:?}");
    assert!(start.elapsed() >= late, "{stdout:?}");
    let begin = "sent 20000000 bytes, the slowest write took ";
    assert!(stdout[0].starts_with(begin), "{stdout:?}");
    assert!(
        server
            .log()
            .ends_with(": 20000000 bytes, each at its place")
    );
}

/// A limit for each write: a server that never reads holds nobody for ever.
#[test]
fn a_server_that_never_reads_ends_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (status, stdout, stderr) =
        client(addr, &["1000000000", "1048576", "0", "0", "300"]).finish();
    assert!(!status.success());
    assert!(stdout.is_empty(), "{stdout:?}");
    let begin = format!("pour-client: send to {addr}, after ");
    assert!(stderr[0].starts_with(&begin), "{stderr:?}");
}

/// Silence is no end of stream: only a limit of our own ends the waiting.
#[test]
fn a_silent_client_is_left_after_the_patience_and_the_next_is_served() {
    let mut server = server(&["0", "100"]);
    let addr = server.address();
    let mut silent = connect(addr);
    silent.write_all(&[byte_at(0)]).unwrap();
    let log = server.log();
    assert!(log.ends_with(": no word for 100ms, after 1 bytes"), "{log}");
    let (status, ..) = client(addr, &["8", "8"]).finish();
    assert!(status.success());
    assert!(server.log().ends_with(": 8 bytes, each at its place"));
    drop(silent);
}

#[test]
fn a_close_is_an_end_of_stream_and_a_reset_is_an_error() {
    let mut server = server(&[]);
    let addr = server.address();
    let mut bytes = [0; 100];
    fill(0, &mut bytes);

    let mut polite = connect(addr);
    polite.write_all(&bytes).unwrap();
    polite.shutdown(Shutdown::Write).unwrap();
    assert!(server.log().ends_with(": 100 bytes, each at its place"));

    let rude = connect(addr);
    // Closing with a linger time of zero sends RST instead of FIN.
    SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    let log = server.log();
    assert!(log.contains("reset"), "{log}");
    assert!(log.ends_with(", after 0 bytes"), "{log}");

    let (status, ..) = client(addr, &["8", "8"]).finish();
    assert!(status.success());
    assert!(server.log().ends_with(": 8 bytes, each at its place"));
}

#[test]
fn errors_name_the_address_and_the_cause() {
    // Bound but not listening: nobody else gets the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    bound.bind(&any.into()).unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let (status, _, stderr) = client(addr, &["8", "8"]).finish();
    assert!(!status.success());
    let begin = format!("pour-client: connect to {addr}: ");
    assert!(stderr[0].starts_with(&begin), "{stderr:?}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pour-server"));
    let (status, _, stderr) =
        Program::start(command.arg(addr.to_string())).finish();
    assert!(!status.success());
    let begin = format!("pour-server: bind {addr}: ");
    assert!(stderr[0].starts_with(&begin), "{stderr:?}");
}

#[test]
fn a_wrong_argument_is_named() {
    for (args, said) in [
        (&["-1"][..], "-1 as milliseconds, at least 0"),
        (&["0", "0"], "0 as milliseconds, at least 1"),
        (&["0", "soon"], "soon as milliseconds, at least 1"),
    ] {
        let (status, _, stderr) = server(args).finish();
        assert!(!status.success());
        assert_eq!(stderr, [format!("pour-server: {said}")]);
    }
    let addr: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for (args, said) in [
        (&["many"][..], "many as a number"),
        (&["8", "0"], "0 bytes a write"),
        (&["8", "1048577"], "1048577 bytes a write"),
    ] {
        let (status, _, stderr) = client(addr, args).finish();
        assert!(!status.success());
        let begin = format!("pour-client: {said}: ");
        assert!(stderr[0].starts_with(&begin), "{stderr:?}");
    }
}
