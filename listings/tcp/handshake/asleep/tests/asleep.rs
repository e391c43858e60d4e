mod support;

use std::net::TcpListener;
use std::process::Command;

use support::Program;

fn server(addr: &str) -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_asleep-server")).arg(addr))
}

fn client(addr: &str) -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_asleep-client")).arg(addr))
}

#[test]
fn clients_connect_and_send_although_nobody_accepts() {
    let mut server = server("127.0.0.1:0");
    let addr = server.address();
    for _ in 0..3 {
        let (status, stdout, stderr) = client(&addr.to_string()).finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(
            stdout,
            [format!("connected to {addr}"), "sent 5 bytes".into()]
        );
    }
}

#[test]
fn errors_name_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (status, _, stderr) = server(&addr).finish();
    assert!(!status.success());
    assert!(
        stderr[0].starts_with(&format!("asleep-server: bind {addr}: ")),
        "{stderr:?}"
    );

    // Nobody listens there, and no other test is given it.
    let (status, _, stderr) = client("127.0.0.1:1").finish();
    assert!(!status.success());
    assert!(
        stderr[0].starts_with("asleep-client: connect to 127.0.0.1:1: "),
        "{stderr:?}"
    );
}
