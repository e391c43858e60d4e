mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use support::{DEADLINE, Program, python};

fn server(addr: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_echo-socket2-server")).arg(addr),
    )
}

fn client(addr: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_echo-socket2-client")).arg(addr),
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
    let mut client = client(&server.address().to_string());
    assert_eq!(client.line(), r#"received "Hello, world""#);
    assert!(client.finish().0.success());
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": closed after 12 bytes"));
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

    let mut next = client(&addr.to_string());
    assert_eq!(next.line(), r#"received "Hello, world""#);
}

#[test]
fn a_server_that_closes_early_is_no_success() {
    // This one reads the message and then closes without a reply.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let silent = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
    });
    let (status, stdout, stderr) = client(&addr.to_string()).finish();
    silent.join().unwrap();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(
        stderr,
        [format!(
            "echo-socket2-client: receive from {addr}: failed to fill whole buffer"
        )]
    );
}

#[test]
fn a_name_is_no_address() {
    let (status, _, stderr) = client("localhost:7002").finish();
    assert!(!status.success());
    assert_eq!(
        stderr,
        [
            "echo-socket2-client: address localhost:7002: invalid socket address syntax"
        ]
    );
}

#[test]
fn without_a_server_the_client_names_the_address_and_the_cause() {
    // Bound but not listening: nobody else can take the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let (status, _, stderr) = client(&addr.to_string()).finish();
    assert!(!status.success());
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0]
            .starts_with(&format!("echo-socket2-client: connect to {addr}: ")),
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
    let mut client = client(&server.address().to_string());
    assert_eq!(client.line(), r#"received "Hello, world""#);
    assert!(server.finish().0.success());
}
