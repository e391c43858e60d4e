//! Each program prints what stands on the page. With `RECORD_OUTPUT` set, the
//! files on the page are written anew.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::Command;

use support::Program;

/// What the program prints, compared with what stands on the page.
fn lines(name: &str, path: &str) -> Option<Vec<String>> {
    if let Err(error) = io_uring::IoUring::new(8) {
        assert!(std::env::var_os("CI").is_none(), "no io_uring: {error}");
        eprintln!("skipped: this test needs io_uring: {error}");
        return None;
    }
    let (status, stdout, stderr) =
        Program::start(&mut Command::new(path)).finish();
    assert!(status.success(), "{name}: {stderr:?}");
    let file = format!("{}/output/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("RECORD_OUTPUT").is_some() {
        fs::write(&file, stdout.join("\n") + "\n").unwrap();
    }
    let page = fs::read_to_string(&file).unwrap();
    assert_eq!(stdout, page.lines().collect::<Vec<_>>(), "{name}");
    Some(stdout)
}

#[test]
fn a_buffer_used_again_too_early_sends_other_bytes() {
    let path = env!("CARGO_BIN_EXE_ring-pitfalls-reuse");
    let Some(said) = lines("reuse", path) else {
        return;
    };
    assert_eq!(said[0], r#"one buffer:  "other\nother\n""#);
    assert_eq!(said[1], r#"its own one: "first\nother\n""#);
}

#[test]
fn one_request_for_all_connections_knows_no_limit() {
    let path = env!("CARGO_BIN_EXE_ring-pitfalls-limit");
    let Some(said) = lines("limit", path) else {
        return;
    };
    assert!(said[0].ends_with(" 10 connections"), "{said:?}");
    assert!(said[1].ends_with(" 2 connections"), "{said:?}");
}
