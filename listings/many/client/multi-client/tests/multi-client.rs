mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use socket2::{Domain, Socket, Type};
use support::{DEADLINE, Program, python};

fn client(addrs: &str, count: &str, patience: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_multi-client"))
            .args([addrs, count, patience]),
    )
}

/// Serves so many connections, each in a thread, with `serve`.
fn server(count: usize, serve: fn(TcpStream)) -> SocketAddr {
    // The backlog of std is 128 on some systems, and nobody may wait here.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(1024).unwrap();
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for _ in 0..count {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => stream.write_all(&buffer[..n]).unwrap(),
        }
    }
}

/// Bound but not listening: nobody else can take the port, and nobody answers.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

#[test]
fn every_connection_gets_its_bytes_back() {
    let addr = server(200, echo);
    let (status, stdout, stderr) =
        client(&addr.to_string(), "200", "30000").finish();
    assert_eq!(stderr, [] as [&str; 0]);
    assert!(status.success());
    assert_eq!(stdout.len(), 201);
    assert_eq!(stdout[200], "200 of 200 done");
    for number in 1..=200 {
        let line = format!("connection {number}: 44 bytes back");
        assert!(stdout.contains(&line), "{line}");
    }
}

#[test]
fn bytes_that_come_one_by_one_are_counted() {
    fn drip(mut stream: TcpStream) {
        let mut bytes = [0; 44];
        stream.read_exact(&mut bytes).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in bytes {
            stream.write_all(&[byte]).unwrap();
        }
        // Until the client, which has counted, closes.
        assert_eq!(stream.read(&mut bytes).unwrap(), 0);
    }
    let addr = server(3, drip);
    let (status, stdout, _) = client(&addr.to_string(), "3", "30000").finish();
    assert!(status.success());
    assert_eq!(stdout[3], "3 of 3 done");
}

#[test]
fn all_are_open_at_once() {
    // Nobody gets a byte back until all three have come.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let all: Vec<_> =
            (0..3).map(|_| listener.accept().unwrap().0).collect();
        for stream in all {
            thread::spawn(|| echo(stream));
        }
    });
    let (status, stdout, _) = client(&addr.to_string(), "3", "30000").finish();
    assert!(status.success());
    assert_eq!(stdout[3], "3 of 3 done");
}

#[test]
fn one_that_is_refused_stops_no_other() {
    let addr = server(2, echo);
    let (_bound, refusing) = refusing();
    let (status, stdout, stderr) =
        client(&format!("{addr},{refusing}"), "4", "30000").finish();
    assert!(!status.success());
    assert_eq!(stdout.len(), 3, "{stdout:?}");
    assert_eq!(stdout[2], "2 of 4 done");
    assert_eq!(stderr.len(), 3, "{stderr:?}");
    for line in &stderr[..2] {
        assert!(
            line.contains(&format!(": connect to {refusing}: ")),
            "{line}"
        );
    }
    assert_eq!(stderr[2], "multi-client: 2 failed");
}

#[test]
fn one_that_is_silent_stops_no_other_and_is_named_in_the_end() {
    fn listen(mut stream: TcpStream) {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let addr = server(2, echo);
    let silent = server(1, listen);
    let (status, stdout, stderr) =
        client(&format!("{addr},{silent},{addr}"), "3", "300").finish();
    assert!(!status.success());
    assert_eq!(stdout.last().unwrap(), "2 of 3 done");
    assert_eq!(
        stderr[0],
        format!("connection 2: receive from {silent}: 0 bytes back for 300ms")
    );
}

#[test]
fn an_early_end_and_other_bytes_are_failures() {
    fn leave(mut stream: TcpStream) {
        let mut bytes = [0; 44];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes[..43]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut bytes).unwrap(), 0);
    }
    fn other(mut stream: TcpStream) {
        let mut bytes = [0; 44];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&[b'x'; 44]).unwrap();
        assert_eq!(stream.read(&mut bytes).unwrap(), 0);
    }
    for (serve, what) in [
        (leave as fn(TcpStream), "closed after 43 bytes"),
        (other, "44 bytes that are not an echo"),
    ] {
        let addr = server(1, serve);
        let (status, stdout, stderr) =
            client(&addr.to_string(), "1", "30000").finish();
        assert!(!status.success());
        assert_eq!(stdout, ["0 of 1 done"]);
        assert_eq!(
            stderr[0],
            format!("connection 1: receive from {addr}: {what}")
        );
    }
}

#[test]
fn numbers_are_above_zero() {
    for (count, patience) in [("0", "1"), ("1", "0"), ("many", "1")] {
        let (status, stdout, stderr) =
            client("127.0.0.1:1", count, patience).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].contains(" as a number above 0: "), "{stderr:?}");
    }
}

#[test]
fn the_python_server_serves_it() {
    let Some(mut python) = python("python/multi-server.py") else {
        return;
    };
    let mut server = Program::start(python.args(["127.0.0.1", "0"]));
    let addr = server.address();
    let (status, stdout, _) =
        client(&addr.to_string(), "100", "30000").finish();
    assert!(status.success());
    assert_eq!(stdout[100], "100 of 100 done");
}

#[test]
fn the_python_server_keeps_its_promises_to_others() {
    let Some(mut python) = python("python/multi-server.py") else {
        return;
    };
    let mut server = Program::start(python.args(["127.0.0.1", "0"]));
    let addr = server.address();
    // Says everything, and reads only then.
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let sent: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, sent);
}

#[test]
fn the_python_client_is_served() {
    let Some(mut python) = python("python/multi-client.py") else {
        return;
    };
    let addr = server(100, echo);
    let args = [addr.ip().to_string(), addr.port().to_string()];
    let (status, stdout, stderr) =
        Program::start(python.args(args).arg("100")).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout[100], "100 of 100 done");
}
