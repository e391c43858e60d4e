mod namespace;
mod support;

use std::net::TcpListener;
use std::process::Command;

use support::Program;

const CONNECT: &str = env!("CARGO_BIN_EXE_connect-deadline");
const MISSED: &str = env!("CARGO_BIN_EXE_connect-deadline-missed");

#[test]
fn both_programs_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    for program in [CONNECT, MISSED] {
        let mut client =
            Program::start(Command::new(program).arg(addr.to_string()));
        let line = client.line();
        assert!(
            line.starts_with(&format!("connected to {addr} in ")),
            "{line}"
        );
        assert!(client.finish().0.success());
    }
}

#[test]
fn a_limit_that_is_no_number_is_an_error() {
    let mut command = Command::new(CONNECT);
    let (status, _, stderr) =
        Program::start(command.args(["127.0.0.1:1", "soon"])).finish();
    assert!(!status.success());
    assert_eq!(
        stderr,
        [
            "connect-deadline: soon is no number of milliseconds: invalid digit found in string"
        ]
    );
}

#[cfg(target_os = "linux")]
mod with_a_network_of_its_own {
    use std::time::{Duration, Instant};

    use super::*;
    use namespace::{ALL, namespace, replace};

    /// 198.51.100.0/24 is there, but whatever is sent to it vanishes.
    const BLACK_HOLE: &str = "ip link set lo up\n\
        ip addr add 192.0.2.1/32 dev lo\n\
        ip route add 198.51.100.0/24 dev lo\n";

    /// The only name server is in the black hole; the resolver gives up after some seconds.
    fn dead_resolver(test: &str, seconds: u32) -> Option<Command> {
        let resolver = format!(
            "nameserver 198.51.100.53\noptions timeout:{seconds} attempts:1\n"
        );
        let setup = [
            BLACK_HOLE.to_string(),
            replace("/etc/resolv.conf", test, &resolver),
            replace("/etc/nsswitch.conf", test, "hosts: dns\n"),
        ];
        namespace(&ALL, &setup.concat())
    }

    /// Runs the command, which must fail; returns its line on stderr and how long it took.
    fn error_of(command: &mut Command) -> (String, Duration) {
        let start = Instant::now();
        let (status, _, stderr) = Program::start(command).finish();
        let took = start.elapsed();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        (stderr[0].clone(), took)
    }

    #[test]
    fn a_limit_of_100_ms_is_missed_because_the_look_up_takes_a_second() {
        let Some(mut command) = dead_resolver("missed", 1) else {
            return;
        };
        let (error, took) =
            error_of(command.args([MISSED, "slow.test:80", "100"]));
        let expected = "connect-deadline-missed: connect to slow.test:80: failed to lookup";
        assert!(error.starts_with(expected), "{error}");
        assert!(took >= Duration::from_millis(450), "{took:?}");
    }

    #[test]
    fn the_same_limit_is_met_and_the_program_does_not_wait_for_the_thread() {
        let Some(mut command) = dead_resolver("met", 30) else {
            return;
        };
        let (error, took) =
            error_of(command.args([CONNECT, "slow.test:80", "100"]));
        assert_eq!(
            error,
            "connect-deadline: look up slow.test:80: no answer in time"
        );
        assert!(took >= Duration::from_millis(100), "{took:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }

    #[test]
    fn two_silent_addresses_take_the_limit_twice_or_once() {
        let silent = |test| {
            let hosts = "198.51.100.1 two.test\n198.51.100.2 two.test\n";
            let setup = [
                BLACK_HOLE.to_string(),
                replace("/etc/hosts", test, hosts),
                replace("/etc/nsswitch.conf", test, "hosts: files\n"),
            ];
            namespace(&ALL, &setup.concat())
        };
        let Some(mut command) = silent("twice") else {
            return;
        };
        let (error, took) =
            error_of(command.args([MISSED, "two.test:80", "500"]));
        assert!(!error.contains("198.51.100."), "{error}");
        assert!(took >= Duration::from_millis(950), "{took:?}");

        let Some(mut command) = silent("once") else {
            return;
        };
        let (error, took) =
            error_of(command.args([CONNECT, "two.test:80", "500"]));
        let expected =
            "connect-deadline: connect to two.test:80: 198.51.100.1:80: ";
        assert!(error.starts_with(expected), "{error}");
        assert!(error.contains("; 198.51.100.2:80: "), "{error}");
        assert!(took >= Duration::from_millis(450), "{took:?}");
    }
}
