//! The program prints what stands on the page, but for its numbers. With
//! `RECORD_OUTPUT` set, the file on the page is written anew.

mod support;

use std::fs;
use std::process::Command;

use support::Program;

/// What the program prints.
fn output() -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_out-of-descriptors");
    let (status, stdout, stderr) =
        Program::start(&mut Command::new(program)).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stderr, [] as [&str; 0]);
    stdout
}

/// Compares it with what stands on the page, without the numbers.
fn compare(stdout: &[String]) {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/output/out-of-descriptors.txt");
    if std::env::var_os("RECORD_OUTPUT").is_some() {
        fs::write(file, stdout.join("\n") + "\n").unwrap();
    }
    let words = |text: &str| -> Vec<String> {
        let words = text.split_whitespace();
        words
            .filter(|word| word.parse::<u64>().is_err())
            .map(String::from)
            .collect()
    };
    let page = fs::read_to_string(file).unwrap();
    assert_eq!(words(&stdout.join("\n")), words(&page));
}

/// The first number in a line.
fn number(line: &str) -> u64 {
    line.split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no number in {line:?}"))
}

#[cfg(unix)]
#[test]
fn trying_at_once_spins_and_waiting_for_an_event_waits_for_ever() {
    let stdout = output();
    compare(&stdout);
    assert!(number(&stdout[0]) > 1, "{stdout:?}");
    assert_eq!(stdout[1], "a descriptor is free: 0 events in 300 ms");
    assert_eq!(stdout[2], "tried after a pause: accepted, after 1 failure");
}
