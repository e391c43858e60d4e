mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use support::{DEADLINE, Program, again};

#[test]
fn a_server_that_reads_on_gets_its_answer_through() {
    let mut server = Program::start(
        Command::new(env!("CARGO_BIN_EXE_stop-reading-server"))
            .args(["127.0.0.1:0", "reads-on"]),
    );
    let mut client = Program::start(
        Command::new(env!("CARGO_BIN_EXE_stop-reading-client"))
            .arg(server.address().to_string()),
    );
    assert_eq!(client.line(), "8000 bytes of the answer, and the end");
    assert!(client.finish().0.success());
    assert!(server.finish().0.success());
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    (client, server)
}

/// How Linux reads "no more reading": the page says so for Linux alone.
#[cfg(target_os = "linux")]
#[test]
fn after_shutdown_read_what_is_there_and_what_comes_can_still_be_read() {
    let (mut client, mut server) = pair();
    client.write_all(b"before").unwrap();
    let mut buffer = [0; 80];
    again(|| server.peek(&mut buffer)).unwrap();
    server.shutdown(Shutdown::Read).unwrap();
    assert_eq!(server.read(&mut buffer).unwrap(), 6);
    assert_eq!(server.read(&mut buffer).unwrap(), 0);
    client.write_all(b"after").unwrap();
    // It is no wait any more, so it may take a moment until they are there.
    while server.read(&mut buffer).unwrap() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(&buffer[..5], b"after");
}

#[cfg(target_os = "linux")]
#[test]
fn after_both_shutdowns_one_byte_resets_and_the_answer_is_lost() {
    let (mut client, mut server) = pair();
    server.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Ok(n) = server.write(&[0; 65536]) {
        sent += n;
    }
    server.shutdown(Shutdown::Read).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    client.write_all(b"?").unwrap();
    let mut received = 0;
    let mut buffer = [0; 65536];
    let end = loop {
        match again(|| client.read(&mut buffer)) {
            Ok(0) => panic!("an end of stream"),
            Ok(n) => received += n,
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(received < sent, "{received} of {sent}");
}

#[test]
fn another_word_is_refused() {
    let (status, _, stderr) = Program::start(
        Command::new(env!("CARGO_BIN_EXE_stop-reading-server"))
            .args(["127.0.0.1:0", "on"]),
    )
    .finish();
    assert!(!status.success());
    assert_eq!(
        stderr,
        ["stop-reading-server: on: neither nothing nor reads-on"]
    );
}
