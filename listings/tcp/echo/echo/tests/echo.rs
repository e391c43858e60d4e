mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use support::{DEADLINE, Program, again, python};

fn server(addr: &str) -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_echo-server")).arg(addr))
}

fn patient_server(milliseconds: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_echo-server"))
            .args(["127.0.0.1:0", milliseconds]),
    )
}

fn client(addr: SocketAddr) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_echo-client")).arg(addr.to_string()),
    )
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn the_client_prints_the_reply() {
    let mut server = server("127.0.0.1:0");
    let mut client = client(server.address());
    assert_eq!(client.line(), r#"received "Hello, world""#);
    assert!(client.finish().0.success());
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": closed after 12 bytes"));
}

#[test]
fn another_message_comes_back_too() {
    let mut server = server("127.0.0.1:0");
    let mut client = Program::start(
        Command::new(env!("CARGO_BIN_EXE_echo-client"))
            .arg(server.address().to_string())
            .arg("粘包"),
    );
    assert_eq!(client.line(), r#"received "粘包""#);
}

#[test]
fn every_byte_returns_in_order_however_it_is_split() {
    let mut server = server("127.0.0.1:0");
    let mut stream = connect(server.address());
    let sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut writer = stream.try_clone().unwrap();
    let expected = sent.clone();
    let sender = thread::spawn(move || {
        for (i, piece) in sent.chunks(777).enumerate() {
            writer.write_all(&piece[..i % piece.len()]).unwrap();
            writer.write_all(&piece[i % piece.len()..]).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert_eq!(received, expected);
}

#[test]
fn a_reply_arrives_after_half_close() {
    let mut server = server("127.0.0.1:0");
    let mut stream = connect(server.address());
    stream.write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "last words");
}

#[test]
fn a_reset_ends_that_client_only() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    let mut rude = connect(addr);
    rude.write_all(b"Hello").unwrap();
    assert!(server.log().ends_with(": connected"));
    // Closing with a linger time of zero sends RST instead of FIN.
    SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    let end = server.log();
    assert!(end.contains("reset"), "{end}");

    assert_eq!(client(addr).line(), r#"received "Hello, world""#);
}

#[test]
fn the_second_client_waits_until_the_first_has_closed() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    let first = connect(addr);
    assert!(server.log().ends_with(": connected"));

    let mut second = connect(addr);
    second.write_all(b"my turn?").unwrap();
    second
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let mut reply = [0; 8];
    let error = again(|| second.read(&mut reply)).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );

    drop(first);
    second.set_read_timeout(Some(DEADLINE)).unwrap();
    second.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"my turn?");
}

#[test]
fn a_silent_client_is_dismissed_after_the_limit() {
    let mut server = patient_server("300");
    let addr = server.address();
    let mut silent = connect(addr);
    let mut second = client(addr);
    assert!(server.log().ends_with(": connected"));
    let end = server.log();
    assert!(end.ends_with(": no progress for 300ms"), "{end}");
    assert_eq!(second.line(), r#"received "Hello, world""#);
    // To the silent one it is the end of the stream.
    assert_eq!(again(|| silent.read(&mut [0; 1])).unwrap(), 0);
}

#[test]
fn a_client_that_never_reads_is_dismissed_after_the_limit() {
    let mut server = patient_server("300");
    let addr = server.address();
    let mut greedy = connect(addr);
    assert!(server.log().ends_with(": connected"));
    // Blocks once all buffers are full, and fails when the server has closed.
    while greedy.write(&[0; 65536]).is_ok() {}
    let end = server.log();
    assert!(end.ends_with(": no progress for 300ms"), "{end}");
    assert_eq!(client(addr).line(), r#"received "Hello, world""#);
}

#[test]
fn patience_is_a_number_of_milliseconds_above_zero() {
    for wrong in ["0", "-1", "soon", "99999999999999999999"] {
        let (status, stdout, stderr) = patient_server(wrong).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(
            stderr[0].starts_with(&format!(
                "echo-server: {wrong} as a number of milliseconds: "
            )),
            "{stderr:?}"
        );
    }
}

#[test]
fn dropping_the_stream_is_what_the_server_sees_as_the_end() {
    let mut server = server("127.0.0.1:0");
    let stream = connect(server.address());
    assert!(server.log().ends_with(": connected"));
    drop(stream);
    assert!(server.log().ends_with(": closed after 0 bytes"));
}

#[test]
fn without_a_server_the_client_names_the_address_and_the_cause() {
    // Bound but not listening: nobody else can take the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let (status, stdout, stderr) = client(addr).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("echo-client: connect to {addr}: ")),
        "{stderr:?}"
    );
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (status, stdout, stderr) = server(&addr.to_string()).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("echo-server: bind {addr}: ")),
        "{stderr:?}"
    );
}

#[test]
fn the_python_client_gets_its_reply() {
    let Some(mut python) = python("python/echo-client.py") else {
        return;
    };
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    let mut client = Program::start(
        python.args([addr.ip().to_string(), addr.port().to_string()]),
    );
    assert_eq!(client.line(), "received b'Hello, world'");
    assert!(client.finish().0.success());
}

#[test]
fn the_python_server_answers_and_ends() {
    let Some(mut python) = python("python/echo-server.py") else {
        return;
    };
    let mut server = Program::start(python.args(["127.0.0.1", "0"]));
    let mut client = client(server.address());
    assert_eq!(client.line(), r#"received "Hello, world""#);
    assert!(server.finish().0.success());
}

/// What only Unix, or only Linux, lets a test provoke.
#[cfg(unix)]
mod unix {
    use super::*;

    fn signal(server: &Program, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &server.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    #[test]
    fn a_server_that_was_stopped_goes_on_with_its_client() {
        let mut server = server("127.0.0.1:0");
        let mut stream = connect(server.address());
        assert!(server.log().ends_with(": connected"));
        for _ in 0..10 {
            signal(&server, "STOP");
            signal(&server, "CONT");
            stream.write_all(b"!").unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
        }
        drop(stream);
        let end = server.log();
        assert!(end.ends_with(": closed after 10 bytes"), "{end}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_log_that_cannot_be_written_ends_no_server() {
        let mut server = Program::start(
            Command::new("sh")
                .args(["-c", r#"exec "$0" 127.0.0.1:0 2>/dev/full"#])
                .arg(env!("CARGO_BIN_EXE_echo-server")),
        );
        let addr = server.address();
        for _ in 0..2 {
            assert_eq!(client(addr).line(), r#"received "Hello, world""#);
        }
    }

    /// Four descriptors are the three standard ones and the listener.
    #[cfg(target_os = "linux")]
    #[test]
    fn without_descriptors_the_server_waits_and_recovers() {
        let limit = |server: &Program, count: &str| {
            Command::new("prlimit")
                .args(["--pid", &server.id().to_string()])
                .arg(format!("--nofile={count}:64"))
                .status()
        };
        let mut server = server("127.0.0.1:0");
        let addr = server.address();
        match limit(&server, "4") {
            Ok(status) => assert!(status.success()),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "prlimit: {error}");
                eprintln!("skipped: prlimit, of util-linux, is missing");
                return;
            }
        }
        // The `accept` that waits already has its descriptor: one client passes.
        let mut waiting = [client(addr), client(addr)];
        let mut failures = 0;
        while failures < 3 {
            let log = server.log();
            if log.starts_with("accept: Too many open files") {
                failures += 1;
            } else {
                assert_eq!(failures, 0, "{log}");
            }
        }
        assert!(limit(&server, "64").unwrap().success());
        for client in &mut waiting {
            assert_eq!(client.line(), r#"received "Hello, world""#);
        }
    }
}
