//! Who waits for whom.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{DEADLINE, Program, again};

fn server(way: &str) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stall-server"));
    let mut server = Program::start(command.args(["127.0.0.1:0", way]));
    let addr = server.address();
    (server, addr)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn answer(mut stream: &TcpStream) -> [u8; 1] {
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// Both are connected and served; then `z` of Ann is under way, and nothing
/// of Bob.
fn ann_and_bob(way: &str) -> (Program, TcpStream, TcpStream) {
    let (server, addr) = server(way);
    let [mut ann, mut bob] = [connect(addr), connect(addr)];
    for stream in [&mut ann, &mut bob] {
        stream.write_all(b"a").unwrap();
        assert_eq!(&answer(stream), b"a");
    }
    ann.write_all(b"z").unwrap();
    (server, ann, bob)
}

/// Whether Bob was answered before Ann. Her `z` takes 300 ms.
fn bob_is_first(way: &str) -> bool {
    let (_server, mut ann, mut bob) = ann_and_bob(way);
    bob.write_all(b"b").unwrap();
    assert_eq!(&answer(&bob), b"b");
    ann.set_nonblocking(true).unwrap();
    match ann.read(&mut [0]) {
        Ok(n) => {
            assert_eq!(n, 1);
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            ann.set_nonblocking(false).unwrap();
            assert_eq!(&answer(&ann), b"z");
            true
        }
    }
}

// On a busy machine, one try may be in another order.

#[test]
fn work_in_a_task_keeps_everybody_waiting() {
    assert!((0..10).any(|_| !bob_is_first("block")));
}

#[test]
fn work_aside_keeps_nobody_waiting() {
    assert!((0..10).any(|_| bob_is_first("aside")));
}

#[test]
fn a_nonblocking_listener_of_std_serves() {
    let (_server, addr) = server("nonblocking");
    let mut stream = connect(addr);
    stream.write_all(b"a").unwrap();
    assert_eq!(&answer(&stream), b"a");
}

/// With debug assertions in tokio it panics, without them it stalls. In the
/// repository of the book its crates are built without, in a copy of this
/// package with them. Windows can't tell a blocking socket: it stalls.
#[test]
fn a_blocking_listener_panics_in_debug_and_stalls_in_release() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_stall-server"))
        .args(["127.0.0.1:0", "from-std"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = server.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    match line.trim_end().strip_prefix("listening on ") {
        // Without debug assertions: connected, and never answered.
        Some(addr) => {
            let mut stream = connect(addr.parse().unwrap());
            let timeout = Duration::from_millis(500);
            stream.set_read_timeout(Some(timeout)).unwrap();
            stream.write_all(b"a").unwrap();
            let error = again(|| stream.read(&mut [0])).unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            ));
            server.kill().unwrap();
            server.wait().unwrap();
        }
        None => {
            let output = server.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(
                said.contains("Registering a blocking socket with the tokio"),
                "{said}"
            );
        }
    }
}

#[test]
fn errors_name_the_address() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stall-server"));
    let (status, _, stderr) = Program::start(command.arg("nowhere")).finish();
    assert!(!status.success());
    assert!(stderr[0].starts_with("stall-server: bind nowhere: "));
}
