//! A clock that strikes in the middle of a frame.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use support::{DEADLINE, Program};

/// Sends a frame in two pieces with a stroke of the clock between them, and
/// a second frame; returns what the server says of frames.
fn said(way: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cancelled-server"));
    let mut server = Program::start(command.args(["127.0.0.1:0", way]));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"\0\0\0\x05he").unwrap();
    // The first could have struck before the bytes were there.
    for _ in 0..2 {
        assert!(server.log().ends_with(": 0 so far"));
    }
    // The server may have closed before it has read this.
    let _ = stream.write_all(b"llo\0\0\0\x05world");
    let mut lines = Vec::new();
    loop {
        let line = server.log();
        let (_, line) = line.split_once(": ").unwrap();
        if line == "closed" {
            return lines;
        }
        if line.ends_with("so far") {
            // Both frames are there, or will never be.
            if lines.len() == 2 {
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
            continue;
        }
        lines.push(line.to_string());
        if line.starts_with("a frame of ") {
            let _ = stream.read(&mut [0; 9]);
            return lines;
        }
    }
}

#[test]
fn a_read_that_was_cancelled_in_the_middle_of_a_frame_has_lost_its_bytes() {
    // `llo` and a zero are taken for a length.
    let length = u32::from_be_bytes(*b"llo\0");
    let expected = format!("a frame of {length} bytes, and the limit is 65536");
    assert_eq!(said("lost"), [expected]);
}

#[test]
fn a_decoder_that_outlives_the_read_has_them_all() {
    assert_eq!(said("kept"), ["frame \"hello\"", "frame \"world\""]);
}

#[test]
fn errors_name_the_address() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cancelled-server"));
    let (status, _, stderr) = Program::start(command.arg("nowhere")).finish();
    assert!(!status.success());
    assert!(stderr[0].starts_with("cancelled-server: bind nowhere: "));
}
