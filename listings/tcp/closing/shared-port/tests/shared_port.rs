#![cfg(unix)]

mod support;

use std::process::Command;

use support::Program;

fn server(addr: &str, name: &str, how: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shared-port-server"));
    Program::start(command.args([addr, name, how]))
}

fn client(addr: &str, count: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shared-port-client"));
    let (status, stdout, stderr) =
        Program::start(command.args([addr, count])).finish();
    assert!(status.success(), "{stderr:?}");
    stdout
}

/// Other systems do not promise to spread them.
#[cfg(target_os = "linux")]
#[test]
fn linux_spreads_connections_over_the_servers_of_a_port() {
    let mut a = server("127.0.0.1:0", "A", "shared");
    let addr = a.address().to_string();
    let mut b = server(&addr, "B", "shared");
    assert_eq!(b.address().to_string(), addr);

    // That all 200 go to one of the two has a chance of 1 in 2^199.
    let lines = client(&addr, "200");
    let counts: Vec<u32> = lines
        .iter()
        .zip(["A answered ", "B answered "])
        .map(|(line, name)| {
            let rest = line.strip_prefix(name).unwrap();
            rest.strip_suffix(" times").unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(counts.len(), 2, "{lines:?}");
    assert_eq!(counts.iter().sum::<u32>(), 200);

    drop(b);
    assert_eq!(client(&addr, "10"), ["A answered 10 times"]);
}

#[test]
fn a_server_that_does_not_share_keeps_the_port() {
    for (first, second) in
        [("alone", "alone"), ("alone", "shared"), ("shared", "alone")]
    {
        let mut a = server("127.0.0.1:0", "A", first);
        let addr = a.address().to_string();
        let (status, _, stderr) = server(&addr, "B", second).finish();
        assert!(!status.success(), "{first}, then {second}");
        let said = format!("shared-port-server: bind {addr}: ");
        assert!(stderr[0].starts_with(&said), "{stderr:?}");
        assert_eq!(client(&addr, "5"), ["A answered 5 times"]);
    }
}

#[test]
fn a_wrong_argument_is_named() {
    for (addr, how, said) in [
        ("here", "shared", "here as an address and a port: "),
        ("127.0.0.1:0", "half", "half is neither shared nor alone"),
    ] {
        let (status, _, stderr) = server(addr, "A", how).finish();
        assert!(!status.success());
        let said = format!("shared-port-server: {said}");
        assert!(stderr[0].starts_with(&said), "{stderr:?}");
    }
}
