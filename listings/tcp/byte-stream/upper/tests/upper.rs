mod support;

use std::io::{self, PipeWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use support::{DEADLINE, Program, again, python};

fn server(args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upper-server"));
    Program::start(command.args(args))
}

fn once_server() -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upper-once-server"));
    Program::start(command.arg("127.0.0.1:0"))
}

/// A client, and what it reads as its input.
fn client(addr: SocketAddr) -> (Program, PipeWriter) {
    let (input, keyboard) = io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_upper-client"));
    let command = command.arg(addr.to_string()).stdin(input);
    (Program::start(command), keyboard)
}

fn once_client(args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upper-once-client"));
    Program::start(command.args(args))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Types two lines and an empty one, and ends the input.
fn talk(mut client: Program, mut keyboard: PipeWriter) {
    keyboard.write_all(b"hello\n").unwrap();
    assert_eq!(client.line(), "> HELLO");
    keyboard.write_all(b"\n  \nagain, 1 2 3\n").unwrap();
    assert_eq!(client.line(), "> > > AGAIN, 1 2 3");
    drop(keyboard);
    let (status, stdout, stderr) = client.finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["> "]);
}

#[test]
fn each_line_comes_back_in_upper_case_and_the_end_is_polite() {
    let mut server = server(&["127.0.0.1:0"]);
    let (client, keyboard) = client(server.address());
    talk(client, keyboard);
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": closed after 17 bytes"));
}

#[test]
fn other_letters_pass_unharmed() {
    let mut server = server(&["127.0.0.1:0"]);
    let (mut client, mut keyboard) = client(server.address());
    keyboard.write_all("grüße, 粘包\n".as_bytes()).unwrap();
    assert_eq!(client.line(), "> GRüßE, 粘包");
}

/// Much longer than a read of the server, and than the buffers of a kernel.
#[test]
fn a_long_line_comes_back_whole() {
    let mut server = server(&["127.0.0.1:0"]);
    let (mut client, mut keyboard) = client(server.address());
    let line = "0123456789abcdef".repeat(20_000);
    let typed = line.clone() + "\n";
    let typist = thread::spawn(move || {
        keyboard.write_all(typed.as_bytes()).unwrap();
        keyboard
    });
    assert_eq!(client.line(), format!("> {}", line.to_ascii_uppercase()));
    drop(typist.join().unwrap());
    assert!(client.finish().0.success());
}

#[test]
fn a_character_is_unharmed_at_every_split() {
    let mut server = server(&["127.0.0.1:0"]);
    let mut stream = connect(server.address());
    let text = "aß粘b";
    for split in 0..=text.len() {
        let (first, second) = text.as_bytes().split_at(split);
        let mut reply = vec![0; text.len()];
        let (begin, end) = reply.split_at_mut(split);
        // The reply to the first half is here before the second half is sent.
        stream.write_all(first).unwrap();
        stream.read_exact(begin).unwrap();
        stream.write_all(second).unwrap();
        stream.read_exact(end).unwrap();
        assert_eq!(String::from_utf8(reply).unwrap(), "Aß粘B");
    }
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_were() {
    let mut server = server(&["127.0.0.1:0"]);
    let mut stream = connect(server.address());
    stream.write_all(b"\xffa\xe7\0").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, b"\xffA\xe7\0");
}

#[test]
fn every_byte_returns_in_order_while_both_sides_send() {
    let mut server = server(&["127.0.0.1:0"]);
    let stream = connect(server.address());
    let sent: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        (&stream).read_to_end(&mut received).unwrap();
    });
    assert!(received == sent.to_ascii_uppercase());
}

#[test]
fn a_reset_ends_that_client_only() {
    let mut server = server(&["127.0.0.1:0"]);
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
    assert!(!end.contains("closed after"), "{end}");

    let (client, keyboard) = client(addr);
    talk(client, keyboard);
}

#[test]
fn a_silent_client_is_dismissed_after_the_limit() {
    let mut server = server(&["127.0.0.1:0", "300"]);
    let mut silent = connect(server.address());
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": no progress for 300ms"));
    assert_eq!(again(|| silent.read(&mut [0])).unwrap(), 0);
}

#[test]
fn the_client_says_so_when_the_server_has_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, mut keyboard) = client(addr);
    drop(listener.accept().unwrap());
    keyboard.write_all(b"hello\n").unwrap();
    let (status, _, stderr) = client.finish();
    assert!(!status.success());
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    let begin = format!("upper-client: ask {addr}: ");
    assert!(stderr[0].starts_with(&begin), "{stderr:?}");
}

#[test]
fn once_answers_one_message_and_closes_first() {
    let mut server = once_server();
    let addr = server.address();
    for _ in 0..2 {
        let (status, stdout, stderr) =
            once_client(&[&addr.to_string()]).finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stdout, ["HELLO, SERVER!"]);
        assert!(server.log().ends_with(": answered 14 bytes"));
    }
    // A client that closes without a word gets no word.
    drop(connect(addr));
    assert!(server.log().ends_with(": answered 0 bytes"));
}

/// The first part is answered before the second one is sent, so this shows
/// what a split message meets.
#[test]
fn once_never_reads_the_rest_of_a_split_message() {
    let mut server = once_server();
    let mut stream = connect(server.address());
    stream.write_all(b"Hello, ").unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, b"HELLO, ");
    assert!(server.log().ends_with(": answered 7 bytes"));
    // To a socket that was closed. Whether this fails already depends.
    let _ = stream.write_all(b"Server!");
    assert!(!matches!(again(|| stream.read(&mut [0])), Ok(1)));
}

#[test]
fn without_a_server_the_clients_name_the_address_and_the_cause() {
    // Bound but not listening: nobody else can take the port.
    let bound = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::STREAM,
        None,
    )
    .unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    bound.bind(&any.into()).unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    for (program, name) in [
        (client(addr).0, "upper-client"),
        (once_client(&[&addr.to_string()]), "upper-once-client"),
    ] {
        let (status, _, stderr) = program.finish();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        let begin = format!("{name}: connect to {addr}: ");
        assert!(stderr[0].starts_with(&begin), "{stderr:?}");
    }
}

#[test]
fn a_wrong_argument_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (mut server, said) in [
        (server(&[&addr]), format!("upper-server: bind {addr}: ")),
        (
            server(&["127.0.0.1:0", "soon"]),
            "upper-server: soon as a number of milliseconds: ".to_string(),
        ),
    ] {
        let line = server.log();
        assert!(line.starts_with(&said), "{line}");
        assert!(!server.finish().0.success());
    }
}

#[test]
fn the_python_client_talks_to_the_server() {
    let Some(mut command) = python("python/upper-client.py") else {
        return;
    };
    let mut server = server(&["127.0.0.1:0"]);
    let addr = server.address();
    let (input, keyboard) = io::pipe().unwrap();
    let client = Program::start(
        command
            .arg("127.0.0.1")
            .arg(addr.port().to_string())
            .env("PYTHONUNBUFFERED", "1")
            .stdin(input),
    );
    talk(client, keyboard);
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": closed after 17 bytes"));
}

#[test]
fn the_client_talks_to_the_python_server() {
    let Some(mut command) = python("python/upper-server.py") else {
        return;
    };
    let mut server = Program::start(command.args(["127.0.0.1", "0"]));
    let addr = server.address();
    for _ in 0..2 {
        let (client, keyboard) = client(addr);
        talk(client, keyboard);
    }
}

#[test]
fn the_python_once_client_gets_its_reply() {
    let Some(mut command) = python("python/upper-once-client.py") else {
        return;
    };
    let mut server = once_server();
    let port = server.address().port().to_string();
    let client = Program::start(command.args(["127.0.0.1", &port]));
    let (status, stdout, stderr) = client.finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["HELLO, SERVER!"]);
}

#[test]
fn the_once_client_gets_its_reply_from_python() {
    let Some(mut command) = python("python/upper-once-server.py") else {
        return;
    };
    let mut server = Program::start(command.args(["127.0.0.1", "0"]));
    let addr = server.address().to_string();
    for message in ["Hello, Server!", "once more"] {
        let (status, stdout, stderr) = once_client(&[&addr, message]).finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stdout, [message.to_ascii_uppercase()]);
    }
}
