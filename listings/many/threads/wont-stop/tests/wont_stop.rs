#![cfg(unix)] // signals

mod support;

use std::net::TcpStream;
use std::process::Command;

use support::{DEADLINE, Program};

fn start(more: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_wont-stop"))
            .arg("127.0.0.1:0")
            .args(more),
    )
}

fn stop(server: &Program) {
    let sent = Command::new("kill")
        .args(["-s", "TERM", &server.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Returns when the thread of `main` sleeps in the kernel, so in `accept`.
#[cfg(target_os = "linux")]
fn wait_until_it_waits(server: &Program) {
    let stat = format!("/proc/{0}/task/{0}/stat", server.id());
    let until = std::time::Instant::now() + DEADLINE;
    while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_flag_alone_stops_nothing_until_the_next_client_comes() {
    let mut server = start(&[]);
    let addr = server.address();
    let _first = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    assert!(server.log().ends_with(": connected"));
    wait_until_it_waits(&server);
    stop(&server);
    assert_eq!(server.log(), "told to stop");
    // Were it woken by the signal, this would find nobody.
    let _second = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    assert!(server.log().ends_with(": connected"));
    let (status, _, stderr) = server.finish();
    assert!(status.success());
    assert_eq!(stderr, ["stopped"]);
}

#[test]
fn a_connection_to_itself_lets_it_stop_at_once() {
    let mut server = start(&["wake"]);
    server.address();
    stop(&server);
    assert_eq!(server.log(), "told to stop");
    let (status, _, stderr) = server.finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stderr.last().unwrap(), "stopped");
}

#[test]
fn another_word_is_refused() {
    let (status, _, stderr) = start(&["walk"]).finish();
    assert!(!status.success());
    assert_eq!(stderr, ["wont-stop: walk: neither nothing nor wake"]);
}
