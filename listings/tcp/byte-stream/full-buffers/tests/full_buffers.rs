mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use socket2::SockRef;
use support::{DEADLINE, Program, again};

fn server(args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_full-buffers-server"));
    Program::start(command.args(args))
}

fn client(addr: SocketAddr, size: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_full-buffers-client"));
    Program::start(command.args([&addr.to_string(), size]))
}

/// A client whose buffers are small, and a server that does not read.
fn full() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let small = SockRef::from(&listener);
    small.set_recv_buffer_size(16384).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    SockRef::from(&client).set_send_buffer_size(16384).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    (client, server)
}

fn payload(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}

/// Other kernels take the whole of a large write, or make other room.
#[cfg(target_os = "linux")]
#[test]
fn a_write_is_taken_in_part_and_nothing_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_recv_buffer_size(8192).unwrap();
    let mut client = client(listener.local_addr().unwrap(), "1000000");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut left = 1_000_000;
    let last = loop {
        let line = client.line();
        let Some(said) = line.strip_prefix("write took ") else {
            break line;
        };
        let (taken, of) = said.split_once(" of ").unwrap();
        assert_eq!(of, format!("{left} bytes"));
        let taken: u64 = taken.parse().unwrap();
        assert!((1..left).contains(&taken), "{line}");
        left -= taken;
    };
    assert_eq!(last, format!("no room, {left} bytes are left"));

    // Only now does anybody read.
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == payload(1_000_000));
    assert_eq!(client.line(), "write_all sent them");
    assert!(client.finish().0.success());
}

#[test]
fn the_server_reads_everything_once_it_is_no_longer_busy() {
    let mut server = server(&["127.0.0.1:0", "200"]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&payload(100_000)).unwrap();
    drop(stream);
    assert_eq!(server.log(), "busy for 200ms");
    assert_eq!(server.log(), "reads");
    assert!(server.log().ends_with(": 100000 bytes in all"));
}

#[test]
fn what_arrives_is_what_was_sent_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap(), "1000000");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == payload(1_000_000));
    assert!(client.finish().0.success());
}

/// The client has ended before the server reads its first byte.
#[test]
fn write_all_ends_although_nobody_has_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap(), "4000");
    let (mut stream, _) = listener.accept().unwrap();
    assert!(client.finish().0.success());
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == payload(4000));
}

/// On a blocking socket a write timeout does the same: a part, and no error.
#[cfg(target_os = "linux")]
#[test]
fn a_write_timeout_returns_the_part_that_was_taken() {
    let (mut client, mut server) = full();
    client
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let payload = payload(5_000_000);
    let taken = again(|| client.write(&payload)).unwrap();
    assert!((1..payload.len()).contains(&taken), "{taken}");
    // There may be room for some more after it. In the end there is none.
    let mut sent = taken;
    let error = loop {
        match again(|| client.write(&payload[sent..])) {
            Ok(taken) => sent += taken,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);

    drop(client);
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert!(received == payload[..sent]);
}

/// `write_all` does not say how far it came.
#[cfg(target_os = "linux")]
#[test]
fn write_all_that_times_out_leaves_an_unknown_part_behind() {
    let (mut client, mut server) = full();
    client
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let error = client.write_all(&payload(5_000_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(client);
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert!((1..5_000_000).contains(&received.len()));
}

#[test]
fn a_blocking_write_all_waits_for_the_reader() {
    let (mut client, mut server) = full();
    client.set_write_timeout(Some(DEADLINE)).unwrap();
    let payload = payload(1_000_000);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            client.write_all(&payload).unwrap();
            drop(client);
        });
        // Some of it is here, and much is not.
        let mut first = [0; 1];
        again(|| server.read(&mut first)).unwrap();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).unwrap();
        sender.join().unwrap();
        assert_eq!(first[0], payload[0]);
        assert!(rest == payload[1..]);
    });
}

#[test]
fn a_wrong_argument_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    for (mut program, said) in [
        (server(&["here"]), "full-buffers-server: here as an address"),
        (
            server(&["127.0.0.1:0", "long"]),
            "full-buffers-server: long as milliseconds: ",
        ),
        (
            client(addr, "-1"),
            "full-buffers-client: -1 as a number of bytes: ",
        ),
        (
            server(&[&addr.to_string()]),
            &format!("full-buffers-server: bind {addr}: "),
        ),
    ] {
        let line = program.log();
        assert!(line.starts_with(said), "{line}");
        assert!(!program.finish().0.success());
    }
}
