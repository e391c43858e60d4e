//! Each case passes with a server that keeps it, and fails with one that does not.
#![cfg(target_os = "linux")]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use support::Program;

/// Cargo builds it beside the tests.
fn breaker() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().unwrap().with_file_name("examples");
    folder.join("contract-breaker")
}

/// Runs a case against the server with this mistake; returns whether it passed, and what was said.
fn run(case: &str, options: &[&str], mistake: &str) -> (bool, String) {
    let (status, stdout, stderr) = Program::start(
        Command::new(env!("CARGO_BIN_EXE_contract"))
            .args(["--case", case])
            .args(options)
            .arg(breaker())
            .args(["2000", mistake]),
    )
    .finish();
    assert_eq!(stdout.len(), 1, "{stdout:?} {stderr:?}");
    (status.success(), stdout[0].clone())
}

#[track_caller]
fn passes(case: &str) {
    assert_eq!(run(case, &[], "none"), (true, format!("{case}: ok")));
}

#[track_caller]
fn fails(case: &str, mistake: &str, why: &str) {
    // What never comes need not be waited for as long as what is only late.
    let (passed, said) = run(case, &["--patience", "2500"], mistake);
    assert!(!passed, "{said}");
    assert!(said.starts_with(&format!("{case}: FAILED: ")), "{said}");
    assert!(said.contains(why), "{said}");
}

/// Passes with the sound server and, at the same time, fails with the mistake.
fn passes_and_fails(case: &str, mistake: &str, why: &str) {
    thread::scope(|scope| {
        scope.spawn(|| passes(case));
        fails(case, mistake, why);
    });
}

#[test]
fn many_notices_a_server_for_one_client() {
    passes_and_fails("many", "one", "client ");
}

#[test]
fn slow_notices_a_server_for_one_client() {
    passes_and_fails("slow", "one", "a fast client: ");
}

#[test]
fn deaf_notices_a_server_that_hoards() {
    passes_and_fails("deaf", "hoards", "expected ");
}

#[test]
fn reset_notices_a_server_that_dies_of_it() {
    passes_and_fails(
        "reset",
        "dies",
        "the server has ended with exit status: 1",
    );
}

#[test]
fn half_close_notices_a_reply_that_is_cut() {
    passes_and_fails("half-close", "cuts", "then a half-close: ");
}

#[test]
fn splits_notices_two_bytes_that_are_swapped_and_tells_the_seed() {
    passes_and_fails("splits", "swaps", "--seed ");
}

#[test]
fn churn_notices_a_descriptor_that_is_left() {
    passes_and_fails("churn", "leaks", "descriptors as before");
}

#[test]
fn descriptors_notices_a_spin() {
    passes_and_fails("descriptors", "spins", "in one second it ran for ");
}

#[test]
fn shutdown_notices_a_server_that_ends_at_once() {
    fails("shutdown", "none", "");
}

#[test]
fn idle_notices_a_busy_thread() {
    passes_and_fails("idle", "busy", "the server ran for ");
}

#[test]
fn limit_notices_one_too_many() {
    passes_and_fails(
        "limit",
        "unlimited",
        "expected client 9 to wait at a limit of 8",
    );
}

#[test]
fn a_program_that_is_no_server_is_named_with_what_it_said() {
    let (status, stdout, _) = Program::start(
        Command::new(env!("CARGO_BIN_EXE_contract"))
            .args(["--case", "many", "echo"]),
    )
    .finish();
    assert!(!status.success());
    assert!(
        stdout[0].starts_with(
            "many: FAILED: expected `listening on ADDR` as the first line of \
             stdout, got \"127.0.0.1:0\""
        ),
        "{stdout:?}"
    );
}

#[test]
fn a_wrong_argument_is_answered_with_what_would_be_right() {
    for (args, says) in [
        (
            &["--case", "most", "server"][..],
            "there are many, slow, deaf,",
        ),
        (&["--fast", "server"], "usage: contract "),
        (&["--full"], "usage: contract "),
        (&["--seed", "x", "server"], "x as a seed: "),
        (&["--patience", "0", "server"], "0 as milliseconds: "),
    ] {
        let (status, stdout, stderr) = Program::start(
            Command::new(env!("CARGO_BIN_EXE_contract")).args(args),
        )
        .finish();
        assert_eq!(status.code(), Some(2));
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].contains(says), "{stderr:?}");
    }
}
