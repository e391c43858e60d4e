mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::{DEADLINE, Program, again};

fn server(how: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unread-server"));
    Program::start(command.args(["127.0.0.1:0", how]))
}

fn client(addr: SocketAddr, length: &str) -> (bool, Vec<String>, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unread-client"));
    command.args([&addr.to_string(), length]);
    let (status, stdout, stderr) = Program::start(&mut command).finish();
    (status.success(), stdout, stderr)
}

#[test]
fn a_note_within_the_limit_gets_its_reply() {
    for how in ["close", "drain"] {
        let mut server = server(how);
        let addr = server.address();
        for (length, bytes) in [("0", "1"), ("899", "900"), ("999", "1000")] {
            let (success, stdout, stderr) = client(addr, length);
            assert!(success, "{how} {length}: {stderr:?}");
            let wanted =
                format!("the server says \"thank you for {bytes} bytes\"");
            assert_eq!(stdout, [wanted]);
        }
    }
}

/// The standard says SHOULD. Linux does.
#[cfg(target_os = "linux")]
#[test]
fn closing_with_unread_bytes_resets_the_connection() {
    let mut server = server("close");
    let (success, stdout, stderr) = client(server.address(), "1200");
    assert!(!success);
    assert!(stdout.is_empty(), "{stdout:?}");
    assert!(stderr[0].starts_with("unread-client: read the reply: "));
    // The server had no error at all.
    assert!(server.log().ends_with(": too long"));
}

/// Other systems may throw the bytes away.
#[cfg(target_os = "linux")]
#[test]
fn on_linux_what_came_before_a_reset_can_still_be_read() {
    let mut server = server("close");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&[b'.'; 1201]).unwrap();
    assert!(server.log().ends_with(": too long"));
    let mut reply = [0; 8];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"too long");
    let error = again(|| stream.read(&mut reply)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(again(|| stream.read(&mut reply)).unwrap(), 0);
}

#[test]
fn after_draining_the_reply_arrives() {
    let mut server = server("drain");
    let addr = server.address();
    for length in ["1000", "1200", "60000"] {
        let (success, stdout, stderr) = client(addr, length);
        assert!(success, "{length}: {stderr:?}");
        assert_eq!(stdout, ["the server says \"too long\""]);
        assert!(server.log().ends_with(": too long"));
    }
}

#[test]
fn draining_has_a_limit_of_bytes_and_one_of_time() {
    let mut server = server("drain");
    let addr = server.address();

    // This one never stops sending.
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let piece = [b'.'; 10_000];
    let written = (0..100_000).try_for_each(|_| stream.write_all(&piece));
    let error = written.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
        ),
        "{error}"
    );
    assert!(server.log().contains(": drain: no end after 1"));

    // And this one never closes.
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"a note\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "thank you for 7 bytes");
    assert!(server.log().ends_with(": drain: no end after 1s"));
}

#[test]
fn a_wrong_argument_is_named() {
    let (status, _, stderr) = server("slam").finish();
    assert!(!status.success());
    assert_eq!(stderr, ["unread-server: slam is neither close nor drain"]);
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let (success, _, stderr) = client(addr, "many");
    assert!(!success);
    let said = "unread-client: many as a number of bytes: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}
