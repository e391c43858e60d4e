#![cfg(target_os = "linux")]

mod support;

use std::process::Command;

use support::Program;

/// How often `accept` failed in a second, and for how many milliseconds that
/// kept a processor busy.
fn run(how: &str) -> (u64, u64) {
    let (status, said, stderr) = Program::start(
        Command::new(env!("CARGO_BIN_EXE_accept-spin")).arg(how),
    )
    .finish();
    assert!(status.success(), "{stderr:?}");
    assert!(
        said[0].starts_with("accept: Too many open files"),
        "{said:?}"
    );
    assert_eq!(said[3], "with a descriptor again, accept takes the client");
    let first = |line: &str| line.split(' ').next().unwrap().parse().unwrap();
    (first(&said[1]), first(&said[2]))
}

#[test]
fn without_a_pause_accept_fails_as_fast_as_the_processor_can_ask() {
    let (failures, _) = run("spin");
    assert!(failures > 1000, "{failures} times");
}

#[test]
fn with_a_pause_it_fails_ten_times_a_second_and_costs_nearly_nothing() {
    let (failures, busy) = run("pause");
    assert!(failures <= 10, "{failures} times");
    assert!(busy <= 50, "{busy} ms");
}
