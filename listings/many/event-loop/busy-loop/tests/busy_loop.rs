mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use support::{DEADLINE, Program};

#[test]
fn nobody_waits_for_anybody_and_the_loop_never_rests() {
    let mut server = Program::start(
        Command::new(env!("CARGO_BIN_EXE_busy-loop-server")).arg("127.0.0.1:0"),
    );
    let addr = server.address();
    let connect = || {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let silent = connect();
    let mut second = connect();
    for _ in 0..100 {
        second.write_all(b"hello").unwrap();
        second.read_exact(&mut [0; 5]).unwrap();
    }
    for _ in 0..2 {
        assert!(server.log().ends_with(": connected"));
    }
    drop(silent);
    let end = server.log();
    // PEER: 0 bytes in 12345 reads
    let words: Vec<&str> = end.split_whitespace().collect();
    assert_eq!(words[1..4], ["0", "bytes", "in"], "{end}");
    let reads: u64 = words[4].parse().unwrap();
    assert!(reads >= 100, "{end}");
    drop(second);
    assert!(server.log().contains(": 500 bytes in "));
}
