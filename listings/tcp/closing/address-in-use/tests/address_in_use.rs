mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use support::Program;

fn server(addr: &str, how: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_address-in-use-server"));
    Program::start(command.args([addr, how]))
}

fn client(addr: SocketAddr) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_address-in-use-client"));
    Program::start(command.arg(addr.to_string()))
}

/// Runs a server until it has closed first, and returns its address.
fn once(how: &str) -> SocketAddr {
    let mut server = server("127.0.0.1:0", how);
    let addr = server.address();
    let (status, stdout, stderr) = client(addr).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["the server says \"goodbye\\n\""]);
    let (status, _, stderr) = server.finish();
    assert!(status.success(), "{stderr:?}");
    addr
}

/// Other systems have other rules.
#[cfg(target_os = "linux")]
#[test]
fn on_linux_the_old_server_and_the_new_one_must_set_the_option() {
    for (old, new, works) in [
        ("bare", "bare", false),
        ("bare", "reuse", false),
        ("bare", "std", false),
        ("reuse", "bare", false),
        ("reuse", "reuse", true),
        ("std", "std", true),
    ] {
        let addr = once(old);
        let mut server = server(&addr.to_string(), new);
        if works {
            assert_eq!(server.address(), addr, "{old}, then {new}");
            assert!(client(addr).finish().0.success());
            assert!(server.finish().0.success());
        } else {
            let (status, _, stderr) = server.finish();
            assert!(!status.success(), "{old}, then {new}");
            let said = format!("address-in-use-server: bind {addr}: ");
            assert!(stderr[0].starts_with(&said), "{stderr:?}");
            assert!(stderr[0].contains("in use"), "{stderr:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_server_of_std_starts_again_at_once() {
    let addr = once("std");
    let mut server = server(&addr.to_string(), "std");
    assert_eq!(server.address(), addr);
}

#[test]
fn a_port_where_somebody_listens_stays_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    for how in ["bare", "reuse", "std"] {
        let (status, _, stderr) = server(&addr, how).finish();
        assert!(!status.success(), "{how}");
        let said = format!("address-in-use-server: bind {addr}: ");
        assert!(stderr[0].starts_with(&said), "{stderr:?}");
    }
}

#[test]
fn a_wrong_argument_is_named() {
    for (addr, how, said) in [
        ("here", "std", "here as an address and a port: "),
        ("127.0.0.1:0", "luck", "luck is none of bare, reuse and std"),
    ] {
        let (status, _, stderr) = server(addr, how).finish();
        assert!(!status.success());
        let said = format!("address-in-use-server: {said}");
        assert!(stderr[0].starts_with(&said), "{stderr:?}");
    }
}
