//! The socket calls of programs beside the packets that they cause.

use std::sync::LazyLock;

use anyhow::{Result, bail};
use regex::Regex;
use wire::What;

use crate::draw;
use crate::figure::Figure;
use crate::layout::Note;

/// A call that takes longer has waited, in microseconds.
const WAITED: i64 = 2_000;

/// Calls that ask or set something, and cause nothing on the wire.
const QUIET: [&str; 7] = [
    "setsockopt",
    "getsockopt",
    "getsockname",
    "getpeername",
    "fcntl",
    "poll",
    "ppoll",
];

pub fn html(figure: &Figure, caption: &str) -> Result<String> {
    let recording = figure.recording;
    let mut notes = Vec::new();
    for event in &recording.events {
        let What::Call {
            program,
            name,
            arguments,
            result,
            end_us,
        } = &event.what
        else {
            continue;
        };
        if QUIET.contains(&name.as_str()) {
            continue;
        }
        let call = format!("{name}({})", gist(name, arguments));
        let result = result.split(" (").next().unwrap_or_default();
        let waited = end_us - event.at_us > WAITED;
        let (text, end) = if result == "?" {
            (format!("{call} …"), None) // it still waits
        } else if waited {
            (
                format!("{call} …"),
                Some((*end_us, format!("{name} = {result}"))),
            )
        } else {
            (format!("{call} = {result}"), None)
        };
        notes.push(Note {
            lane: recording.head.programs[*program].host,
            at_us: event.at_us,
            end,
            text,
            state: None,
        });
    }
    if notes.is_empty() {
        bail!("the scene records no calls; set `calls = true` for its programs");
    }
    draw::html(figure, "calls", notes, caption)
}

/// The arguments that a reader looks for, from those that `strace` prints.
fn gist(name: &str, arguments: &str) -> String {
    static V4: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]*)"\)"#)
            .expect("a valid pattern")
    });
    static V6: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"sin6_port=htons\((\d+)\).*inet_pton\(AF_INET6, "([^"]*)""#)
            .expect("a valid pattern")
    });
    let parts: Vec<&str> = arguments.split(", ").collect();
    let first = parts.first().copied().unwrap_or_default();
    let first = first.trim_end_matches(',');
    let addr = V4
        .captures(arguments)
        .map(|found| format!("{}:{}", &found[2], &found[1]))
        .or_else(|| {
            V6.captures(arguments)
                .map(|found| format!("[{}]:{}", &found[2], &found[1]))
        });
    match (name, addr) {
        ("socket", _) => match parts.get(1) {
            Some(kind) => kind.split('|').next().unwrap_or_default().to_string(),
            None => String::new(),
        },
        ("bind" | "connect", Some(addr)) => format!("{first}, {addr}"),
        ("listen" | "shutdown", _) => parts.join(", "),
        _ => first.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::gist;

    #[test]
    fn arguments_are_cut_to_what_matters() {
        for (name, arguments, wanted) in [
            (
                "socket",
                "AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP",
                "SOCK_STREAM",
            ),
            (
                "bind",
                "3, {sa_family=AF_INET, sin_port=htons(7001), sin_addr=inet_addr(\"10.0.0.2\")}, 16",
                "3, 10.0.0.2:7001",
            ),
            (
                "connect",
                "3, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"fd00::2\", &sin6_addr), sin6_scope_id=0}, 28",
                "3, [fd00::2]:80",
            ),
            (
                "accept4",
                "3, {sa_family=AF_INET, sin_port=htons(4), sin_addr=inet_addr(\"10.0.0.1\")}, [16], SOCK_CLOEXEC",
                "3",
            ),
            ("listen", "3, 128", "3, 128"),
            ("close", "3", "3"),
            ("recvfrom", "4,", "4"),
        ] {
            assert_eq!(gist(name, arguments), wanted);
        }
    }
}
