#![cfg(unix)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::{Program, python};

/// A folder for one test, in place of the system's folder for temporary files.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Temp {
        let path =
            std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Temp(path)
    }

    /// Runs the program with this folder; returns what it prints.
    fn lines(&self, program: &str) -> Vec<String> {
        let mut command = Command::new(program);
        let (status, stdout, stderr) =
            Program::start(command.env("TMPDIR", &self.0)).finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stderr, [] as [&str; 0]);
        stdout
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_socket_file_outlives_its_listener_and_blocks_the_next() {
    let temp = Temp::new("file");
    let lines = temp.lines(env!("CARGO_BIN_EXE_local-sockets-file"));
    assert!(
        lines[0].contains("/chat.sock\" (pathname), peer (unnamed)"),
        "{}",
        lines[0]
    );
    assert_eq!(lines[1], r#"received "no port""#);
    assert_eq!(lines[2], "listener closed, file still there: true");
    assert!(
        lines[3].starts_with("connect: Connection refused"),
        "{}",
        lines[3]
    );
    assert!(
        lines[4].starts_with("bind: Address already in use"),
        "{}",
        lines[4]
    );
    assert_eq!(lines[5], "file removed, bind: done");
}

#[test]
fn nothing_stays_in_the_folder_for_temporary_files() {
    let temp = Temp::new("tidy");
    temp.lines(env!("CARGO_BIN_EXE_local-sockets-file"));
    assert!(temp.is_empty());
    temp.lines(env!("CARGO_BIN_EXE_local-sockets-datagram"));
    assert!(temp.is_empty());
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_its_cause() {
    let temp = Temp::new("missing");
    for program in [
        env!("CARGO_BIN_EXE_local-sockets-file"),
        env!("CARGO_BIN_EXE_local-sockets-datagram"),
    ] {
        let missing = temp.0.join("missing");
        let mut command = Command::new(program);
        let (status, stdout, stderr) =
            Program::start(command.env("TMPDIR", &missing)).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].contains(missing.to_str().unwrap()), "{stderr:?}");
    }
}

#[test]
fn a_datagram_without_a_name_has_no_address_to_reply_to() {
    let temp = Temp::new("datagram");
    let lines = temp.lines(env!("CARGO_BIN_EXE_local-sockets-datagram"));
    assert_eq!(lines[0], r#"received "guess who" from (unnamed)"#);
    assert!(
        lines[1].starts_with(r#"received "it is Ann" from ""#),
        "{}",
        lines[1]
    );
    assert!(
        lines[1].ends_with(r#"/ann.sock" (pathname)"#),
        "{}",
        lines[1]
    );
    assert_eq!(lines.len(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn the_type_decides_about_boundaries_and_about_the_end() {
    let temp = Temp::new("pairs");
    assert_eq!(
        temp.lines(env!("CARGO_BIN_EXE_local-sockets-pairs")),
        [
            r#"STREAM: "lunchat noon", end"#,
            r#"DGRAM: "lunch", "at noon", silence"#,
            r#"SEQPACKET: "lunch", "at noon", end"#,
        ]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_unix_socket_carries_a_descriptor_to_another_process() {
    let Some(mut python) = python("tests/pass-descriptor.py") else {
        return;
    };
    let (status, stdout, stderr) = Program::start(&mut python).finish();
    assert!(status.success(), "{stderr:?}");
    let words: Vec<Vec<&str>> = stdout
        .iter()
        .map(|line| line.split(' ').collect())
        .collect();
    assert_ne!(words[0][0], words[1][0], "two processes");
    assert!(words[0][1].starts_with("socket:["), "{stdout:?}");
    assert_eq!(words[0][1], words[1][1], "one socket");
}
