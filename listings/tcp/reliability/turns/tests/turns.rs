mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use socket2::{Domain, Socket, Type};
use support::{DEADLINE, Program};

fn client(addr: SocketAddr, pauses: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turns-client"));
    Program::start(command.arg(addr.to_string()).args(pauses))
}

/// Serves one client: what it sends goes through `reply` and back.
fn echo(reply: fn(u8) -> u8) -> (SocketAddr, thread::JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (mut buffer, mut count) = ([0; 100], 0);
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            buffer[..n].iter_mut().for_each(|byte| *byte = reply(*byte));
            stream.write_all(&buffer[..n]).unwrap();
            count += n as u64;
        }
        count
    });
    (addr, served)
}

#[test]
fn it_takes_a_turn_for_each_pause() {
    for (pauses, turns) in [(&[][..], 3), (&["0"], 1), (&["1", "0"], 2)] {
        let (addr, served) = echo(|byte| byte);
        let (status, stdout, stderr) = client(addr, pauses).finish();
        assert!(status.success(), "{stderr:?}");
        let lines: Vec<String> = (1..=turns)
            .map(|turn| format!("turn {turn} is back"))
            .collect();
        assert_eq!(stdout, lines);
        assert_eq!(served.join().unwrap(), 6 * turns);
    }
}

#[test]
fn another_reply_ends_it() {
    let (addr, _) = echo(|byte| byte ^ 1);
    let (status, stdout, stderr) = client(addr, &[]).finish();
    assert!(!status.success());
    assert!(stdout.is_empty(), "{stdout:?}");
    assert_eq!(
        stderr,
        [format!("turns-client: {addr} sent something else")]
    );
}

#[test]
fn errors_name_the_address_and_the_cause() {
    // Bound but not listening: nobody else gets the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    bound.bind(&any.into()).unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let (status, _, stderr) = client(addr, &[]).finish();
    assert!(!status.success());
    let begin = format!("turns-client: connect to {addr}: ");
    assert!(stderr[0].starts_with(&begin), "{stderr:?}");

    let (addr, _) = echo(|byte| byte);
    let (status, _, stderr) = client(addr, &["soon"]).finish();
    assert!(!status.success());
    let begin = "turns-client: soon as milliseconds: ";
    assert!(stderr[0].starts_with(begin), "{stderr:?}");
}
