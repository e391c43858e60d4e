//! The async function goes on where it was, and has the sizes on the page.
//! With `RECORD_OUTPUT` set, the file on the page is written anew.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use support::{DEADLINE, Program};

#[test]
fn each_poll_goes_on_where_the_last_one_stopped() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polled-server"));
    let mut server = Program::start(command.arg("127.0.0.1:0"));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    assert!(server.line().starts_with("called: "));
    assert_eq!(server.line(), "poll");
    assert_eq!(server.line(), "word: the length");
    assert_eq!(server.line(), "Pending");

    stream.write_all(&[0, 5]).unwrap();
    assert_eq!(server.line(), "poll");
    assert_eq!(server.line(), "word: 5 bytes");
    assert_eq!(server.line(), "Pending");

    // No line of the function is printed: it is in the middle of one.
    stream.write_all(b"he").unwrap();
    assert_eq!(server.line(), "poll");
    assert_eq!(server.line(), "Pending");

    stream.write_all(b"llo").unwrap();
    assert_eq!(server.line(), "poll");
    assert_eq!(server.line(), "word: all of it");
    assert_eq!(server.line(), "Ready(\"hello\")");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_end_in_the_middle_is_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polled-server"));
    let mut server = Program::start(command.arg("127.0.0.1:0"));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&[0, 5, b'h']).unwrap();
    drop(stream);
    let (status, _, stderr) = server.finish();
    assert!(!status.success());
    assert!(stderr[0].starts_with("polled-server: serve 127.0.0.1:"));
    assert!(stderr[0].ends_with(": unexpected end of file"));
}

#[test]
fn a_future_has_room_for_what_lives_across_a_wait() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polled-sizes"));
    let (status, stdout, _) = Program::start(&mut command).finish();
    assert!(status.success());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/output/sizes.txt");
    if std::env::var_os("RECORD_OUTPUT").is_some() {
        fs::write(file, stdout.join("\n") + "\n").unwrap();
    }
    // The page has the same lines, with the sizes of one compiler.
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(String::from)
            .collect()
    };
    let page = fs::read_to_string(file).unwrap();
    assert_eq!(names(&stdout.join("\n")), names(&page));
    // Other compilers may differ by a few bytes, and be better one day.
    let size = |name: &str| -> usize {
        let line = stdout.iter().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(size("nothing") < 64);
    assert!((1024..1100).contains(&size("across")));
    assert!(size("on_the_heap") < 100);
    assert!(size("in_a_scope") < 64);
    assert!((1024..1100).contains(&size("twice")));
    assert!(size("owner") >= 1024);
}

#[test]
fn errors_name_the_address() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polled-server"));
    let (status, _, stderr) = Program::start(command.arg("nowhere")).finish();
    assert!(!status.success());
    assert!(stderr[0].starts_with("polled-server: bind nowhere: "));
}
