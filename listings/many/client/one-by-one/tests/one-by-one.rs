mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use socket2::{Domain, Socket, Type};
use support::Program;

fn client(addr: SocketAddr, count: &str) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_one-by-one"))
            .args([&addr.to_string(), count]),
    )
}

#[test]
fn it_gets_all_its_bytes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut bytes = [0; 44];
                stream.read_exact(&mut bytes).unwrap();
                stream.write_all(&bytes).unwrap();
            });
        }
    });
    let (status, stdout, stderr) = client(addr, "3").finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout.len(), 2);
    assert!(stdout[0].starts_with("3 connected after "), "{stdout:?}");
    assert!(stdout[1].starts_with("132 bytes back after "), "{stdout:?}");
}

#[test]
fn the_first_that_is_refused_is_the_end_of_it() {
    // Bound but not listening: nobody else can take the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let (status, stdout, stderr) = client(addr, "3").finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("one-by-one: connect to {addr}: ")),
        "{stderr:?}"
    );
}
