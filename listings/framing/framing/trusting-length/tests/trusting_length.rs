mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::Program;

const SERVER: &str = env!("CARGO_BIN_EXE_trusting-length-server");

fn hostile(addr: SocketAddr, length: &str) -> Program {
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_trusting-length-hostile"));
    Program::start(command.args([&addr.to_string(), length]))
}

#[test]
fn honest_lengths_are_served() {
    let mut server = Program::start(Command::new(SERVER).arg("127.0.0.1:0"));
    let addr = server.address();
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"\0\0\0\x05hello").unwrap();
    assert!(server.log().ends_with(": connected"));
    assert!(server.log().ends_with(": length 5"));
}

/// `ulimit -v` is what Linux calls it, and what it keeps to.
#[cfg(target_os = "linux")]
#[test]
fn four_bytes_end_the_server_of_everybody() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -v 1000000 && exec \"$0\" 127.0.0.1:0",
        SERVER,
    ]);
    let mut server = Program::start(&mut command);
    let addr = server.address();
    let (status, stdout, stderr) = hostile(addr, "4294967295").finish();
    assert!(status.success(), "{stderr:?}");
    let ends = ["the server closed the connection", "the server is gone"];
    assert!(ends.contains(&stdout[0].as_str()), "{stdout:?}");

    let (status, _, stderr) = server.finish();
    assert!(!status.success());
    assert!(stderr[0].ends_with(": connected"), "{stderr:?}");
    assert_eq!(stderr[1], "memory allocation of 4294967295 bytes failed");
}

/// What Linux promises at once, it hands out when a byte is written there.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_nobody_writes_to_is_only_promised() {
    const LENGTH: u64 = 256 << 20;

    let mut server = Program::start(Command::new(SERVER).arg("127.0.0.1:0"));
    let addr = server.address();
    let _hostile = hostile(addr, &LENGTH.to_string());
    assert!(server.log().ends_with(": connected"));
    let until = std::time::Instant::now() + support::DEADLINE;
    let resident = loop {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.id()))
                .unwrap();
        if kibibytes(&status, "VmSize:") * 1024 >= LENGTH {
            break kibibytes(&status, "VmRSS:") * 1024;
        }
        assert!(std::time::Instant::now() < until, "never promised");
        std::thread::yield_now();
    };
    assert!(resident < LENGTH / 8, "{resident} bytes");
}

#[cfg(target_os = "linux")]
fn kibibytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn wrong_arguments_are_named() {
    let hostile = env!("CARGO_BIN_EXE_trusting-length-hostile");
    for (args, said) in [
        (&["127.0.0.1:1", "much"][..], "much as a length: "),
        (&["127.0.0.1:1", "1", "5"], "a length has 4 bytes, not 5"),
        (&["nowhere"], "connect to nowhere: "),
    ] {
        let (status, _, stderr) =
            Program::start(Command::new(hostile).args(args)).finish();
        assert!(!status.success());
        let said = format!("trusting-length-hostile: {said}");
        assert!(stderr[0].starts_with(&said), "{stderr:?}");
    }
    let (status, _, stderr) =
        Program::start(Command::new(SERVER).arg("nowhere")).finish();
    assert!(!status.success());
    let said = "trusting-length-server: bind nowhere: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}
