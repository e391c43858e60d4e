//! With `RECORD_OUTPUT` set, what stands on the page is written anew.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use support::{DEADLINE, Program, again};

const HOPS: &str = env!("CARGO_BIN_EXE_hops");

fn run(addr: &str) -> (bool, Vec<String>, Vec<String>) {
    let (status, stdout, stderr) =
        Program::start(Command::new(HOPS).arg(addr)).finish();
    (status.success(), stdout, stderr)
}

#[test]
fn this_host_is_one_hop_away() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let addr: SocketAddr = peer.local_addr().unwrap();
    let hops = Program::start(Command::new(HOPS).arg(addr.to_string()));
    let mut buffer = [0; 64];
    let (n, from) = again(|| peer.recv_from(&mut buffer)).unwrap();
    assert_eq!(&buffer[..n], b"hello");
    peer.send_to(b"hello", from).unwrap();
    let (status, stdout, stderr) = hops.finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(stdout, ["1: the program there answers"]);
}

#[test]
fn an_address_that_is_none_is_named() {
    let (ok, stdout, stderr) = run("[::1]:7075");
    assert!(!ok);
    assert_eq!(stdout, [] as [&str; 0]);
    let said = "hops: [::1]:7075 as an IPv4 address and a port: ";
    assert!(stderr[0].starts_with(said), "{stderr:?}");
}

#[test]
fn a_time_to_live_is_from_1_to_255() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_ttl(255).unwrap();
    assert_eq!(socket.ttl().unwrap(), 255);
    #[cfg(target_os = "linux")]
    for wrong in [0, 256] {
        let error = socket.set_ttl(wrong).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

/// And the program is not told that its datagram has died on the way.
#[cfg(target_os = "linux")]
#[test]
fn behind_a_router_it_takes_two() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/router.sh");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", script])
        .args([HOPS, "10.0.2.2:7075"])
        .output();
    let problem = match &output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(String::from_utf8_lossy(&output.stderr).into_owned())
        }
        Err(error) => Some(error.to_string()),
    };
    if let Some(problem) = problem {
        assert!(std::env::var_os("CI").is_none(), "{problem}");
        eprintln!(
            "skipped: needs unshare, ip and a network of its own: {problem}"
        );
        return;
    }
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "1: nothing comes back",
        "2: the host answers that nobody listens there",
    ];
    assert_eq!(lines, expected);

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/output/router.txt");
    if std::env::var_os("RECORD_OUTPUT").is_some() {
        std::fs::write(page, &said).unwrap();
    }
    assert_eq!(std::fs::read_to_string(page).unwrap(), said);
}
