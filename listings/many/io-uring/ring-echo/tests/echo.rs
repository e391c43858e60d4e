//! One client is served, whatever it sends.
#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;

use support::{DEADLINE, Program};

fn server() -> Option<(Program, TcpStream)> {
    if let Err(error) = io_uring::IoUring::new(8) {
        assert!(std::env::var_os("CI").is_none(), "no io_uring: {error}");
        eprintln!("skipped: this test needs io_uring: {error}");
        return None;
    }
    let mut server = Program::start(
        Command::new(env!("CARGO_BIN_EXE_ring-echo")).arg("127.0.0.1:0"),
    );
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    Some((server, stream))
}

#[test]
fn what_is_sent_comes_back_and_then_the_server_ends() {
    let Some((server, mut stream)) = server() else {
        return;
    };
    for message in ["one", "another one"] {
        stream.write_all(message.as_bytes()).unwrap();
        let mut reply = vec![0; message.len()];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, message.as_bytes());
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let (status, _, said) = server.finish();
    assert!(status.success(), "{said:?}");
}

#[test]
fn a_message_larger_than_all_buffers_comes_back_whole() {
    let Some((server, mut stream)) = server() else {
        return;
    };
    let message: Vec<u8> = (0..8_000_000).map(|n| (n % 251) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = message.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    sender.join().unwrap();
    assert!(reply == message);
    assert!(server.finish().0.success());
}
