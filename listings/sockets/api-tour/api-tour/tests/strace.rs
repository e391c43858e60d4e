//! The system calls of each program, as `strace` shows them, against the record of them.
//!
//! `RECORD_STRACE=1 cargo test -p api-tour --test strace` writes the record anew.

#![cfg(target_os = "linux")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter;
use std::path::PathBuf;
use std::process::Command;

use support::{Program, python};

/// A program, where it is, and how the lines begin that its section is about.
type Traced = (&'static str, &'static str, &'static [&'static str]);

macro_rules! traced {
    ($name:literal: $($shown:literal)*) => {
        ($name, env!(concat!("CARGO_BIN_EXE_api-tour-", $name)), &[$($shown),*])
    };
}

const PROGRAMS: &[Traced] = &[
    traced!("defaults":
        "socket(" "setsockopt(" "bind(" "listen(" "connect(" "accept4(" "sendto("),
    traced!("defaults-socket2":
        "socket(" "setsockopt(" "bind(" "listen(" "connect(" "accept4(" "sendto("),
    traced!("socket": "socket(" "getpeername("),
    traced!("bind": "bind(" "getsockname("),
    traced!("listen": "listen(" "connect(" "sendto("),
    traced!("accept": "accept4(" "getsockname("),
    traced!("connect": "connect(" "getsockname("),
    traced!("connect-error": "connect(" "getsockopt("),
    traced!("send": "sendto("),
    traced!("sendall": "sendto("),
    traced!("recv": "recvfrom("),
    traced!("peek": "recvfrom("),
    traced!("sendto": "sendto(" "recvfrom("),
    traced!("recvfrom": "recvfrom("),
    traced!("getsockname": "bind(" "connect(" "getsockname("),
    traced!("getpeername": "connect(" "getpeername("),
    traced!("getsockopt": "getsockopt("),
    traced!("setsockopt": "setsockopt(4," "getsockopt(4,"),
    traced!("setblocking": "ioctl(" "fcntl(" "accept4(" "recvfrom("),
    traced!("settimeout": "setsockopt(4," "recvfrom("),
    traced!("gettimeout": "setsockopt(" "getsockopt("),
    traced!("connect-timeout": "ioctl(" "connect(" "poll(" "ppoll("),
    traced!("shutdown": "fcntl(" "sendto(" "shutdown(" "recvfrom("),
    traced!("close": "fcntl(" "close(" "recvfrom("),
    traced!("fileno": ""),
    traced!("makefile": "sendto(" "recvfrom("),
];

/// A program does the same each time, yet the kernel may be late with an answer. So a
/// difference counts when it is there every time.
const ATTEMPTS: usize = 3;

#[test]
fn every_program_makes_the_recorded_calls() {
    if !can_trace() {
        return;
    }
    let recording = std::env::var_os("RECORD_STRACE").is_some();
    let failures: Vec<String> = PROGRAMS
        .iter()
        .filter_map(|program| {
            if recording {
                record(program);
                return None;
            }
            (1..ATTEMPTS).fold(difference(program), |found, _| {
                found.and_then(|_| difference(program))
            })
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{}\n\nIf the new calls are right, record them, and read their sections again:\n\
         RECORD_STRACE=1 cargo test -p api-tour --test strace\n",
        failures.join("\n")
    );
}

#[test]
fn every_record_belongs_to_a_program_and_every_program_is_recorded() {
    let named = |start: &str, end: &str| -> BTreeSet<String> {
        let names = PROGRAMS.iter().map(|(name, ..)| name);
        names.map(|name| format!("{start}{name}{end}")).collect()
    };
    assert_eq!(files_in("strace"), named("", ".txt"));
    assert_eq!(files_in("src/bin"), named("api-tour-", ".rs"));
}

fn files_in(folder: &str) -> BTreeSet<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn rust_ignores_sigpipe_before_main() {
    if !can_trace() {
        return;
    }
    let program = Command::new(env!("CARGO_BIN_EXE_api-tour-socket"));
    let lines = strace("rt_sigaction", &program);
    assert!(
        lines.iter().any(|line| line
            .starts_with("rt_sigaction(SIGPIPE, {sa_handler=SIG_IGN")),
        "{lines:#?}"
    );
}

#[test]
fn a_python_timeout_is_a_non_blocking_socket_and_poll() {
    let Some(program) =
        python("tests/api-tour-timeout.py").filter(|_| can_trace())
    else {
        return;
    };
    let lines = strace("ioctl,poll,ppoll,setsockopt,recvfrom", &program);
    let has = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(has("FIONBIO, [1]") && has("poll("), "{lines:#?}");
    assert!(!has("SO_RCVTIMEO") && !has("recvfrom("), "{lines:#?}");
}

fn record(&(name, path, shown): &Traced) {
    fs::create_dir_all(folder()).expect("make the folder strace/");
    let lines = calls(path, shown).join("\n") + "\n";
    fs::write(file_of(name), lines).expect("write the record");
}

/// The first line in which a run differs from its record, if any does.
fn difference(&(name, path, shown): &Traced) -> Option<String> {
    let record = fs::read_to_string(file_of(name)).unwrap_or_default();
    let mut recorded = record.lines();
    let ran = calls(path, shown);
    let mut ran = ran.iter().map(String::as_str);
    let pairs = iter::from_fn(|| match (recorded.next(), ran.next()) {
        (None, None) => None,
        pair => Some(pair),
    });
    for (number, (recorded, ran)) in pairs.enumerate() {
        if recorded.map(essence) != ran.map(essence) {
            return Some(format!(
                "api-tour-{name} differs from strace/{name}.txt in line {}:\n  \
                 recorded: {}\n  this run: {}",
                number + 1,
                recorded.unwrap_or("(no such line)"),
                ran.unwrap_or("(no such line)"),
            ));
        }
    }
    None
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/strace"))
}

fn file_of(name: &str) -> PathBuf {
    folder().join(format!("{name}.txt"))
}

fn can_trace() -> bool {
    let why = match Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
    {
        Ok(output) if output.status.success() => return true,
        Ok(output) => {
            String::from_utf8_lossy(&output.stderr).trim().to_string()
        }
        Err(error) => error.to_string(),
    };
    assert!(
        std::env::var_os("CI").is_none(),
        "strace does not work, and CI needs it: {why}"
    );
    eprintln!("skipped: strace does not work on this machine: {why}");
    false
}

/// The lines of one run that begin as given, in the words of the record.
fn calls(path: &str, shown: &[&str]) -> Vec<String> {
    let lines = strace(
        "network,close,fcntl,ioctl,poll,ppoll,read,write,readv,writev",
        &Command::new(path),
    );
    let mut words = Words::default();
    lines
        .iter()
        .filter_map(|line| words.of(line))
        .filter(|line| shown.iter().any(|start| line.starts_with(start)))
        .collect()
}

/// Runs a program under `strace -f`; returns its calls, each without the process id.
fn strace(what: &str, program: &Command) -> Vec<String> {
    let mut command = Command::new("strace");
    // 16 bytes of every buffer: enough for our messages, and for a `timeval`.
    command.args(["-f", "-qq", "-s", "16", "-e", "signal=none", "-e"]);
    command.arg(format!("trace={what}"));
    // A process of its own writes the lines, so that they don't mix with the program's.
    command.args(["-o", "|cat >&2", "--"]);
    command.arg(program.get_program()).args(program.get_args());
    let (status, _, lines) = Program::start(&mut command).finish();
    assert!(status.success(), "{command:?}: {status}: {lines:#?}");
    whole_lines(&lines)
}

/// Joins a call that another thread's call had interrupted, where it began.
fn whole_lines(lines: &[String]) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    let mut unfinished: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        let Some((process, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, whole.len());
            whole.push(start.to_string());
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            let begun =
                unfinished.remove(process).expect("a call that had begun");
            whole[begun].push_str(end);
        } else {
            whole.push(call.to_string());
        }
    }
    whole
}

/// Puts a word in the place of what differs from run to run.
#[derive(Default)]
struct Words {
    /// The descriptors of the program's sockets, and what the record calls them.
    descriptors: BTreeMap<String, u32>,
    ports: Vec<String>,
}

impl Words {
    /// The line in the words of the record, or `None` if it is not about a socket.
    fn of(&mut self, line: &str) -> Option<String> {
        let (call, result) = line.rsplit_once(" = ")?;
        let call = call.trim_end();
        // A debug build asks this before each close, to find a descriptor closed twice.
        if call.contains(", F_GETFD)") {
            return None;
        }
        let (name, arguments) = call.split_once('(')?;
        let mut result = result.to_string();
        let arguments = if name == "socket" {
            arguments.to_string()
        } else if let Some(polled) = arguments.strip_prefix("[{fd=") {
            let (descriptor, rest) = polled.split_once(',')?;
            let ours = self.descriptors.get(descriptor)?;
            let theirs = format!("{{fd={descriptor},");
            result = result.replace(&theirs, &format!("{{fd={ours},"));
            let rest = match rest.rsplit_once(", ") {
                Some((rest, _)) if name == "poll" => {
                    format!("{rest}, TIMEOUT)")
                }
                _ => rest.to_string(),
            };
            format!("[{{fd={ours},{rest}")
        } else {
            let end = arguments.find([',', ')'])?;
            let ours = *self.descriptors.get(&arguments[..end])?;
            if name == "close" {
                self.descriptors.remove(&arguments[..end]);
            }
            format!("{ours}{}", &arguments[end..])
        };
        let makes_one = match name {
            "socket" | "accept" | "accept4" => true,
            _ => arguments.contains(", F_DUPFD"),
        };
        if makes_one && !result.starts_with('-') {
            result = self.new_descriptor(&result).to_string();
        }
        let arguments = timeval(&buffers(&self.ports(&arguments)));
        if name == "sendto" && took_less(&arguments, &result) {
            result = "FEWER".to_string();
        }
        Some(format!("{name}({arguments} = {result}"))
    }

    /// The kernel gives the lowest free number. So do we, from 3 on, whatever the test
    /// had open when it started the program.
    fn new_descriptor(&mut self, descriptor: &str) -> u32 {
        let free = (3..)
            .find(|number| {
                !self.descriptors.values().any(|used| used == number)
            })
            .expect("a free number");
        self.descriptors.insert(descriptor.to_string(), free);
        free
    }

    /// Ports that the kernel chose become PORT_A, PORT_B and so on, as they appear.
    fn ports(&mut self, arguments: &str) -> String {
        let mut pieces = arguments.split("htons(");
        let mut whole = pieces.next().unwrap_or_default().to_string();
        for piece in pieces {
            let (port, rest) = piece.split_once(')').expect("a port");
            whole.push_str("htons(");
            if port.len() < 4 {
                whole.push_str(port);
            } else {
                let known = self.ports.iter().position(|known| known == port);
                let index = known.unwrap_or_else(|| {
                    self.ports.push(port.to_string());
                    self.ports.len() - 1
                });
                whole.push_str("PORT_");
                whole.push(char::from(b'A' + index as u8));
            }
            whole.push(')');
            whole.push_str(rest);
        }
        whole
    }
}

/// An address in memory becomes BUFFER.
fn buffers(arguments: &str) -> String {
    let mut pieces = arguments.split(", 0x");
    let mut whole = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let rest =
            piece.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        whole.push_str(", BUFFER");
        whole.push_str(rest);
    }
    whole
}

/// Whether a send took a part of its bytes: how large a part is the kernel's affair.
fn took_less(arguments: &str, result: &str) -> bool {
    let given = arguments
        .rsplit_once(", MSG_NOSIGNAL")
        .and_then(|(before, _)| before.rsplit_once(", "))
        .and_then(|(_, given)| given.parse::<u64>().ok());
    match (given, result.parse::<u64>()) {
        (Some(given), Ok(taken)) => taken < given,
        _ => false,
    }
}

/// Some versions of strace print the bytes of a timeout, and call its option by the name
/// that the kernel's headers gave it later. The record has the fields, and the name that
/// the man page has.
fn timeval(arguments: &str) -> String {
    let named = arguments
        .replace("SO_RCVTIMEO_OLD", "SO_RCVTIMEO")
        .replace("SO_SNDTIMEO_OLD", "SO_SNDTIMEO");
    let bytes = named
        .split_once("TIMEO, \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(escaped, _)| (escaped, unescaped(escaped)));
    let Some((escaped, bytes)) = bytes else {
        return named;
    };
    let Some((seconds, micros)) = bytes.split_first_chunk::<8>() else {
        return named;
    };
    let Ok(micros) = <[u8; 8]>::try_from(micros) else {
        return named;
    };
    named.replace(
        &format!("\"{escaped}\""),
        &format!(
            "{{tv_sec={}, tv_usec={}}}",
            i64::from_ne_bytes(*seconds),
            i64::from_ne_bytes(micros)
        ),
    )
}

/// The bytes of a string that strace wrote.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let digits = rest
            .iter()
            .take(3)
            .take_while(|digit| (b'0'..b'8').contains(digit))
            .count();
        if digits > 0 {
            let (octal, tail) = rest.split_at(digits);
            bytes.push(
                octal
                    .iter()
                    .fold(0, |value, digit| value * 8 + (digit - b'0')),
            );
            rest = tail;
        } else if let Some((&letter, tail)) = rest.split_first() {
            bytes.push(match letter {
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 0x0b,
                b'f' => 0x0c,
                b'r' => b'\r',
                other => other,
            });
            rest = tail;
        }
    }
    bytes
}

/// What two machines must agree about. Let go: spaces and the arrow of a length, which
/// changed between versions of strace; the words that explain an error, which are the C
/// library's; and `ppoll` for `poll`, where the processor's kernel has no other.
fn essence(line: &str) -> String {
    let line = match line.split_once(" = -1 ") {
        Some((call, error)) => {
            let name = error.split(' ').next().unwrap_or_default();
            format!("{call} = -1 {name}")
        }
        None => line.to_string(),
    };
    let line = match line
        .strip_prefix("ppoll(")
        .and_then(|rest| rest.split_once(", 1, "))
    {
        Some((polled, rest)) => match rest.split_once(" = ") {
            Some((_, result)) => {
                let result = result.split(", left").next().unwrap_or_default();
                format!(
                    "poll({polled}, 1, TIMEOUT) = {})",
                    result.trim_end_matches(')')
                )
            }
            None => line,
        },
        None => line,
    };
    line.replace("->", "=>").split_whitespace().collect()
}
