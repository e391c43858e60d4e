//! How much waits between a client that sends and one that never reads. The
//! program prints what stands on the page, but for its numbers. With
//! `RECORD_OUTPUT` set, the files on the page are written anew.

mod support;

use std::fs;
use std::process::Command;

use support::Program;

/// How many KiB were sent, and how many of them waited.
fn figures(way: &str) -> (usize, usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unbounded"));
    let program = Program::start(command.arg(way));
    let (status, stdout, stderr) = program.finish();
    assert!(status.success(), "{stderr:?}");
    let file = format!("{}/output/{way}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("RECORD_OUTPUT").is_some() {
        fs::write(&file, stdout.join("\n") + "\n").unwrap();
    }
    let words = |text: &str| -> Vec<String> {
        let words = text.split_whitespace();
        words
            .filter(|word| word.parse::<f64>().is_err())
            .map(String::from)
            .collect()
    };
    let page = fs::read_to_string(&file).unwrap();
    assert_eq!(words(&stdout.join("\n")), words(&page));
    let number = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
    (number(&stdout[0]).unwrap(), number(&stdout[1]).unwrap())
}

#[test]
fn without_a_limit_the_queue_takes_all_that_the_kernels_do_not() {
    let (sent, waiting) = figures("unbounded");
    assert!(sent >= 64 * 1024, "{sent} KiB");
    assert!(waiting > 16 * 1024, "{waiting} KiB");
}

#[test]
fn with_a_limit_the_sender_has_to_wait() {
    let (sent, waiting) = figures("bounded");
    assert!(sent < 64 * 1024, "{sent} KiB");
    // Four pieces in the queue, one that waits to get in, one on its way out.
    assert!(waiting <= 6 * 16, "{waiting} KiB");
}
