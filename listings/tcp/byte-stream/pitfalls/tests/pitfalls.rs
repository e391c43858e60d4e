//! Each program prints what stands on the page. With `RECORD_OUTPUT` set, the
//! files on the page are written anew.

mod support;

use std::fs;
use std::process::Command;

use support::Program;

macro_rules! lines_of {
    ($name:literal) => {
        lines($name, env!(concat!("CARGO_BIN_EXE_pitfalls-", $name)))
    };
}

/// What the program prints, compared with what stands on the page.
fn lines(name: &str, path: &str) -> Vec<String> {
    let (status, stdout, stderr) =
        Program::start(&mut Command::new(path)).finish();
    assert!(status.success(), "{name}: {stderr:?}");
    assert_eq!(stderr, [] as [&str; 0], "{name}");

    let file = format!("{}/output/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("RECORD_OUTPUT").is_some() {
        fs::write(&file, stdout.join("\n") + "\n").unwrap();
    }
    // The page shows what Linux says.
    if cfg!(target_os = "linux") {
        let page = fs::read_to_string(&file).unwrap();
        let page: Vec<&str> = page.lines().collect();
        if name == "end" {
            assert_eq!(stdout.len(), page.len());
        } else {
            assert_eq!(stdout, page, "{name}");
        }
    }
    stdout
}

#[test]
fn the_end_of_the_stream_repeats_until_somebody_looks_for_it() {
    let said = lines_of!("end");
    let (reads, rest) = said[0].split_once(" reads in 100 ms, ").unwrap();
    let empty = rest.strip_suffix(" of them gave Ok(0)").unwrap();
    let (reads, empty): (u64, u64) =
        (reads.parse().unwrap(), empty.parse().unwrap());
    // The five bytes came in one read, or in as many as five.
    assert!((reads - 5..reads).contains(&empty), "{said:?}");
    assert!(empty > 100, "{said:?}");
    assert_eq!(said[1], "counted 5 bytes, and stopped");
}

#[test]
fn a_short_message_after_a_long_one_has_a_foreign_tail() {
    let said = lines_of!("garbage");
    assert_eq!(said[2], "the whole buffer: balance: 5000000");
    assert_eq!(said[3], "buffer[..n]:      balance: 5");
}

#[test]
fn a_dropped_reader_takes_bytes_along() {
    let said = lines_of!("read-ahead");
    assert_eq!(said[0], r#"the reader took "5\n", and has "Hello" as well"#);
    assert!(said[1].starts_with("no body: "), "{said:?}");
    assert_eq!(said[2], r#"the body is "Hello""#);
}

#[test]
fn a_writer_keeps_bytes_until_flush_and_hides_an_error_in_drop() {
    let said = lines_of!("flush");
    assert_eq!(said[0], r#"before flush: """#);
    assert_eq!(said[1], r#"after flush:  "Hello""#);
    assert_eq!(said[2], r#"after drop:   ", world""#);
    assert_eq!(said[3], r#"after a drop that failed: """#);
    assert!(said[4].starts_with("flush says: "), "{said:?}");
}

#[test]
fn a_timeout_has_two_names_and_zero_is_invalid() {
    let said = lines_of!("timeout");
    if cfg!(unix) {
        assert_eq!(said[0], "kind: WouldBlock");
        assert_eq!(said[2], "TimedOut? false");
    }
    if cfg!(windows) {
        assert_eq!(said[0], "kind: TimedOut");
    }
    assert_eq!(said[3], "timed_out? true");
    assert_eq!(said[4], "a timeout of zero: InvalidInput");
}

#[test]
fn read_exact_loses_what_it_had_and_a_buffer_of_its_own_does_not() {
    let said = lines_of!("out-of-step");
    // The second half of 7 and the first half of 8.
    assert_eq!(said[1], format!("read_exact: {}", 7 << 16));
    assert_eq!(said[3], "Numbers: 7");
    assert_eq!(said[4], "Numbers: 8");
}

#[test]
fn a_lock_across_a_read_keeps_the_writer_out() {
    let said = lines_of!("mutex");
    assert_eq!(said[0], "lock: the writer is free: false");
    assert!(said[1].starts_with("lock: no reply, "), "{said:?}");
    assert_eq!(said[2], "lock: the writer has written at last");
    assert_eq!(said[3], "no lock: a reply of 5 bytes");
}
