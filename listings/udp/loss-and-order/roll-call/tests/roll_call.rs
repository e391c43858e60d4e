mod support;

use std::net::UdpSocket;
use std::process::Command;

use support::{DEADLINE, Program, again};

fn answerer(addr: &str, name: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roll-call-answerer"));
    Program::start(command.args([addr, name]))
}

/// Asks, and waits so many milliseconds for answers.
fn roll_call(addr: &str, patience: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roll-call"));
    Program::start(command.args([addr, patience]))
}

#[test]
fn who_is_asked_answers() {
    let mut ann = answerer("127.0.0.1:0", "ann");
    let addr = ann.address().to_string();
    let mut asker = roll_call(&addr, "30000");
    assert_eq!(asker.line(), format!("ann at {addr}"));
    assert!(ann.log().ends_with(": answered"));
}

#[test]
fn what_is_no_question_is_not_answered() {
    let mut ann = answerer("127.0.0.1:0", "ann");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(ann.address()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    for nonsense in ["", "who?", "who is there?!"] {
        socket.send(nonsense.as_bytes()).unwrap();
        assert!(ann.log().ends_with(": no question"));
    }
    socket.send(b"who is there?").unwrap();
    let mut buffer = [0; 64];
    let n = again(|| socket.recv(&mut buffer)).unwrap();
    assert_eq!(&buffer[..n], b"ann");
}

#[test]
fn an_answer_is_no_longer_than_its_question() {
    let ann = answerer("127.0.0.1:0", "anne-elizabeth");
    let (status, stdout, stderr) = ann.finish();
    assert!(!status.success());
    assert!(stdout.is_empty(), "{stdout:?}");
    assert!(stderr[0].ends_with("is too long"), "{stderr:?}");
}

#[test]
fn an_answer_can_not_write_to_the_terminal() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    let mut asker = roll_call(&addr, "30000");
    let (_, peer) = again(|| socket.recv_from(&mut [0; 64])).unwrap();
    socket.send_to(b"\x1b[2J", peer).unwrap();
    assert_eq!(asker.line(), format!("\\x1b[2J at {addr}"));
}

/// Linux broadcasts on loopback too.
#[cfg(target_os = "linux")]
mod broadcast {
    use super::*;

    const ALL: &str = "127.255.255.255";

    #[test]
    fn a_broadcast_needs_the_option() {
        let mut command =
            Command::new(env!("CARGO_BIN_EXE_roll-call-forgotten"));
        let forgotten = Program::start(command.arg(format!("{ALL}:9")));
        let (status, stdout, stderr) = forgotten.finish();
        assert!(!status.success());
        assert!(stdout.is_empty(), "{stdout:?}");
        let said =
            format!("roll-call-forgotten: ask {ALL}:9: Permission denied");
        assert!(stderr[0].starts_with(&said), "{stderr:?}");
    }

    #[test]
    fn a_broadcast_is_heard_by_who_is_bound_to_all_addresses() {
        let mut ann = answerer("0.0.0.0:0", "ann");
        let port = ann.address().port();
        let mut asker = roll_call(&format!("{ALL}:{port}"), "30000");
        assert_eq!(asker.line(), format!("ann at 127.0.0.1:{port}"));
    }

    #[test]
    fn a_broadcast_is_not_heard_by_who_is_bound_to_one_address() {
        let mut ann = answerer("127.0.0.1:0", "ann");
        let port = ann.address().port();
        let asker = roll_call(&format!("{ALL}:{port}"), "500");
        let (status, stdout, stderr) = asker.finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stdout, ["0 answered"]);
    }
}
