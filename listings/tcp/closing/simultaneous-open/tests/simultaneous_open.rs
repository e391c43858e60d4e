mod support;

use std::net::TcpListener;
use std::process::Command;

use support::Program;

fn open(args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simultaneous-open"));
    Program::start(command.args(args))
}

/// Two programs on one host never meet in time, but a program can meet itself.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_can_connect_to_itself() {
    // A free port. Another program may get it meanwhile, so we try a few.
    let said: Vec<Vec<String>> = (0..10)
        .map(|_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap().to_string();
            drop(listener);
            let (_, stdout, stderr) = open(&[&addr]).finish();
            let wanted = [
                format!("{addr} to {addr}"),
                "the other side says \"hello\"".to_string(),
            ];
            if stdout == wanted { vec![] } else { stderr }
        })
        .collect();
    assert!(said.iter().any(|stderr| stderr.is_empty()), "{said:?}");
}

#[test]
fn where_nobody_connects_it_is_refused() {
    let addr = "127.0.0.1:1";
    let (status, stdout, stderr) = open(&[addr, "127.0.0.1:0"]).finish();
    assert!(!status.success(), "{stdout:?}");
    let said = format!("simultaneous-open: connect to {addr}: ");
    assert!(stderr[0].starts_with(&said), "{stderr:?}");
}

#[test]
fn a_wrong_argument_is_named() {
    let (status, _, stderr) = open(&["here"]).finish();
    assert!(!status.success());
    let said = "simultaneous-open: here as an address and a port: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}
