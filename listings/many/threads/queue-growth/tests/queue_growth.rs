mod support;

use std::process::Command;

use support::Program;

fn run(how: &str) -> Vec<String> {
    let (status, said, stderr) = Program::start(
        Command::new(env!("CARGO_BIN_EXE_queue-growth")).arg(how),
    )
    .finish();
    assert!(status.success(), "{stderr:?}");
    said
}

#[test]
fn without_a_bound_the_queue_takes_what_the_client_sends() {
    let said = run("unbounded");
    assert_eq!(said[0], "the client sent 65536 KiB");
    let queued: u64 = said[1].split(' ').next().unwrap().parse().unwrap();
    // The rest is in the buffers of the kernel.
    assert!(queued >= 40 * 1024, "{said:?}");
}

#[test]
fn with_a_bound_the_client_has_to_wait() {
    let said = run("bounded");
    assert!(said[0].starts_with("the client is stuck: "), "{said:?}");
    let queued: u64 = said[2].split(' ').next().unwrap().parse().unwrap();
    assert!(queued <= 1024, "{said:?}");
}
