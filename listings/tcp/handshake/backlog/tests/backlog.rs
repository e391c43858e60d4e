mod support;

use std::process::Command;
use std::thread;

use support::Program;

fn server(args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_backlog-server")).args(args),
    )
}

fn clients(args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_backlog-clients")).args(args),
    )
}

#[test]
fn everybody_connects_while_the_queue_has_room() {
    let mut server = server(&["127.0.0.1:0", "16"]);
    let addr = server.address().to_string();
    let (status, stdout, stderr) = clients(&[&addr, "4"]).finish();
    assert!(status.success(), "{stderr:?}");
    let wanted: Vec<String> =
        (1..=4).map(|n| format!("{n}: connected")).collect();
    assert_eq!(stdout, wanted);
}

/// Other systems have other rules for a full queue.
#[cfg(target_os = "linux")]
#[test]
fn linux_queues_one_more_than_the_backlog_and_answers_nobody_else() {
    let queues = |backlog: &str, queued: usize| {
        let mut server = server(&["127.0.0.1:0", backlog]);
        let addr = server.address().to_string();
        let count = (queued + 1).to_string();
        let (status, stdout, stderr) = clients(&[&addr, &count]).finish();
        assert!(status.success(), "{stderr:?}");
        let (last, before) = stdout.split_last().unwrap();
        assert!(before.iter().all(|line| line.ends_with(": connected")));
        assert_eq!(before.len(), queued);
        assert!(last.ends_with(": connection timed out"), "{last}");
    };
    // All at once, because each waits for its time-out.
    thread::scope(|scope| {
        for (backlog, queued) in [("0", 1), ("1", 2), ("2", 3)] {
            scope.spawn(move || queues(backlog, queued));
        }
    });
}

#[test]
fn a_wrong_argument_is_named() {
    for (mut program, said) in [
        (server(&["here"]), "backlog-server: here as an address"),
        (
            server(&["127.0.0.1:0", "-1"]),
            "backlog-server: -1 as a backlog",
        ),
        (clients(&["here"]), "backlog-clients: here as an address"),
        (
            clients(&["127.0.0.1:1", "x"]),
            "backlog-clients: x as a number",
        ),
    ] {
        let line = program.log();
        assert!(line.starts_with(said), "{line}");
        assert!(!program.finish().0.success());
    }
}
