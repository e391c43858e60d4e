//! The program that opens a raw socket, with and without the right to do so.
#![cfg(target_os = "linux")]

mod support;

use std::process::Command;

use support::Program;

const DISSECT: &str = env!("CARGO_BIN_EXE_chat-line-dissect");

/// `unshare` with these arguments, or `None`, with a word of why, where they don't work.
fn unshare(args: &[&str]) -> Option<Command> {
    let works = Command::new("unshare").args(args).arg("true").output();
    if !works.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI needs unshare {args:?}"
        );
        eprintln!("skipped: unshare {args:?} does not work on this machine");
        return None;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(args);
    Some(unshare)
}

/// What the program prints on a host of its own, where it may open raw sockets.
fn dissected() -> Option<Vec<String>> {
    let script = "ip link set lo up && exec \"$0\"";
    let mut program =
        unshare(&["--user", "--map-root-user", "--net", "sh", "-c", script])?;
    let (status, stdout, stderr) =
        Program::start(program.arg(DISSECT)).finish();
    assert!(status.success(), "{stderr:?}");
    Some(stdout)
}

/// The bytes of the line that ends with this name.
fn field(lines: &[String], name: &str) -> Vec<u8> {
    let line = lines
        .iter()
        .find_map(|line| line.strip_suffix(name))
        .unwrap_or_else(|| panic!("no {name} in {lines:?}"));
    bytes(line)
}

fn bytes(line: &str) -> Vec<u8> {
    line.split_whitespace()
        .map(|digits| u8::from_str_radix(digits, 16).expect(line))
        .collect()
}

#[test]
fn without_the_capability_the_kernel_refuses_in_one_line() {
    // A new user namespace holds no capability over the network that was there before.
    let Some(mut program) = unshare(&["--user"]) else {
        return;
    };
    let (status, stdout, stderr) =
        Program::start(program.arg(DISSECT)).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(
        stderr,
        [
            "chat-line-dissect: open a raw socket: Operation not permitted (os error 1)"
        ]
    );
}

#[test]
fn twenty_bytes_of_text_travel_in_a_packet_of_seventy_two() {
    let Some(lines) = dissected() else { return };
    for heading in [
        "IPv4 header, 20 bytes",
        "TCP header, 32 bytes",
        "message, 20 bytes",
    ] {
        assert!(lines.iter().any(|line| line == heading), "{lines:?}");
    }
    assert_eq!(field(&lines, "total length"), 72_u16.to_be_bytes());
    assert_eq!(bytes(lines.last().unwrap()), b"ann: lunch at noon?\n");
}

#[test]
fn the_headers_say_what_the_page_says() {
    let Some(lines) = dissected() else { return };
    assert_eq!(field(&lines, "version, header length in words"), [0x45]);
    assert_eq!(field(&lines, "flags, fragment offset"), [0x40, 0]);
    assert_eq!(field(&lines, "time to live"), [64]);
    assert_eq!(field(&lines, "protocol"), [6]);
    assert_eq!(field(&lines, "source address"), [127, 0, 0, 1]);
    assert_eq!(field(&lines, "destination address"), [127, 0, 0, 1]);
    let tcp = lines
        .iter()
        .position(|line| line.starts_with("TCP"))
        .unwrap();
    let lines = &lines[tcp..];
    assert_eq!(field(lines, "header length in words"), [0x80]);
    assert_eq!(field(lines, "flags"), [0x18]);
    assert_eq!(field(lines, "urgent pointer"), [0, 0]);
    // Two bytes of padding, then the timestamps option: kind 8, length 10.
    let options = bytes(&lines[10]);
    assert_eq!(options[..4], [1, 1, 8, 10]);
    assert_eq!(options.len(), 12);
}

#[test]
fn the_kernel_does_not_compute_the_tcp_checksum_on_loopback() {
    let Some(lines) = dissected() else { return };
    let tcp = lines
        .iter()
        .position(|line| line.starts_with("TCP"))
        .unwrap();
    // Only the part of the sum that covers the addresses, the protocol and the length.
    let words = [0x7f00, 0x0001, 0x7f00, 0x0001, 6, 32 + 20_u32];
    let sum: u32 = words.iter().sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = u16::try_from(sum).unwrap();
    assert_eq!(field(&lines[tcp..], "checksum"), sum.to_be_bytes());
}
