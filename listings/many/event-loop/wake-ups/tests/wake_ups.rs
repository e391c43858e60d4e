//! The program prints what stands on the page, but for its numbers. With
//! `RECORD_OUTPUT` set, the file on the page is written anew.

mod support;

use std::fs;
use std::process::Command;

use support::Program;

/// What the program prints.
fn output() -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_wake-ups");
    let (status, stdout, stderr) =
        Program::start(&mut Command::new(program)).finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stderr, [] as [&str; 0]);
    stdout
}

/// Compares it with what stands on the page, without the numbers.
fn compare(stdout: &[String]) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/output/wake-ups.txt");
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
fn level_triggering_repeats_itself_and_edge_triggering_does_not() {
    let stdout = output();
    compare(&stdout);
    for level in [1, 4] {
        assert!(number(&stdout[level]) > 1, "{stdout:?}");
        assert_eq!(number(&stdout[level + 1]), 1, "{stdout:?}");
    }
}
