#![cfg(target_os = "linux")]

mod support;

use std::process::Command;

use support::Program;

/// The memory of a thread, in KiB.
fn run(stack: &str) -> u64 {
    let (status, said, stderr) = Program::start(
        Command::new(env!("CARGO_BIN_EXE_thread-cost")).arg(stack),
    )
    .finish();
    assert!(status.success(), "{stderr:?}");
    let memory = said[2].strip_suffix(" KiB of memory").unwrap();
    memory.parse().unwrap()
}

#[test]
fn the_size_of_a_stack_is_no_cost_and_what_was_used_of_it_is() {
    for stack in ["2048", "64"] {
        let used = run(stack);
        assert!((16..=60).contains(&used), "{used} KiB");
    }
}
