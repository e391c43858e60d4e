mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use support::{DEADLINE, Program, again};

fn server() -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_small-loop-server"))
            .arg("127.0.0.1:0"),
    )
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn a_hundred_clients_are_served_at_once() {
    let mut server = server();
    let addr = server.address();
    let mut clients: Vec<TcpStream> = (0..100).map(|_| connect(addr)).collect();
    for client in &mut clients {
        client.write_all(b"ping").unwrap();
    }
    for client in clients.iter_mut().rev() {
        let mut reply = [0; 4];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"ping");
    }
    drop(clients);
    for _ in 0..100 {
        assert!(server.log().ends_with(": connected"));
    }
    for _ in 0..100 {
        assert!(server.log().ends_with(": closed"));
    }
}

/// The mistake of this server: `WouldBlock` also comes from `write_all`. Then
/// a part of the answer is lost, and what was not read is not looked at again.
#[test]
fn a_client_that_reads_late_does_not_get_everything() {
    let mut server = server();
    let mut stream = connect(server.address());
    let silence = Some(Duration::from_millis(300));
    stream.set_write_timeout(silence).unwrap();
    stream.set_read_timeout(silence).unwrap();
    let mut sent = 0;
    while let Ok(n) = again(|| stream.write(&[b'x'; 65536])) {
        sent += n;
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 65536];
    loop {
        match again(|| stream.read(&mut buffer)) {
            Ok(0) => break,
            Ok(n) => received += n,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut
                    ),
                    "{error}"
                );
                break;
            }
        }
    }
    assert!(received < sent, "{received} of {sent}");
}
