mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use support::{DEADLINE, Program};

#[test]
fn the_second_client_is_served_while_the_first_is_silent() {
    let mut server = Program::start(
        Command::new(env!("CARGO_BIN_EXE_first-threads")).arg("127.0.0.1:0"),
    );
    let addr = server.address();
    let mut streams: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect_timeout(&addr, DEADLINE).unwrap())
        .collect();
    for stream in streams.iter_mut().rev() {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"my turn").unwrap();
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"my turn");
    }
}
