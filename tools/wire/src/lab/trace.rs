//! The system calls of a program, from `strace`: all that it traced, and those about sockets.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};

use crate::driver::Missing;
use crate::recording::What;

/// All that may have to do with a socket; those on other descriptors are left out later.
const CALLS: &str = "trace=%network,read,write,readv,writev,close,dup,dup2,dup3,fcntl,poll,ppoll";

/// What else a thread can wait in, and what begins and names one. Not every machine has those with a question mark.
const WAITS: &str = "?select,?pselect6,?epoll_wait,?epoll_pwait,?epoll_pwait2,futex,?io_uring_enter,nanosleep,\
                     clock_nanosleep,restart_syscall,sendfile,splice,wait4,waitid,?fork,?vfork,clone,?clone3,prctl";

pub(super) fn is_here() -> Result<()> {
    match Command::new("strace").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(anyhow!(Missing(
            "strace is not installed, and this scene traces system calls".to_string()
        ))),
    }
}

/// The same command under `strace`, and where its trace comes out. With `waits` it shows the calls of [`WAITS`] too.
///
/// `-D` keeps the program our child, so that signals reach it and its status is its own. The trace goes to
/// descriptor 3, which the shell closes before it becomes the program.
pub(super) fn trace(command: &Command, waits: bool) -> Result<(Command, PipeReader)> {
    let calls = match waits {
        true => format!("{CALLS},{WAITS}"),
        false => CALLS.to_string(),
    };
    let (output, input) = io::pipe().context("make a pipe")?;
    let mut traced = Command::new("strace");
    traced
        .args([
            "-D",
            "-f",
            "-ttt",
            "-T",
            "-s",
            "64",
            "-e",
            &calls,
            "-e",
            "signal=none",
            "-o",
            "/dev/fd/3",
        ])
        .args(["sh", "-c", r#"exec "$0" "$@" 3>&-"#])
        .arg(command.get_program())
        .args(command.get_args());
    // SAFETY: dup2 is all that happens between fork and exec, and it may be called there.
    unsafe {
        traced.pre_exec(move || {
            if libc::dup2(input.as_raw_fd(), 3) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    Ok((traced, output))
}

/// Name, arguments, result.
pub(super) type Call = (String, String, String);

/// What a line of a trace tells, or two of them that belong together.
#[derive(Debug)]
pub(super) enum Traced {
    /// Times count from the start of the scene. A call that never returned ends with the trace.
    Call {
        pid: u32,
        at: Duration,
        end: Duration,
        call: Call,
    },
    /// A thread is gone.
    Exit { pid: u32, at: Duration },
}

/// Whether a call came back, if only to be made again after a signal.
pub(super) fn returned((_, _, result): &Call) -> bool {
    result != "?"
}

/// Reads a trace to its end. Times count from `wall`.
pub(super) fn read(output: PipeReader, wall: SystemTime, mut found: impl FnMut(Traced)) {
    let zero = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut pending: HashMap<u32, (Duration, String)> = HashMap::new();
    let file = File::from(std::os::fd::OwnedFd::from(output));
    let mut last = Duration::ZERO;
    let mut keep = |pid: u32, at: Duration, end: Duration, text: &str| {
        if let Some(call) = split(text) {
            found(Traced::Call { pid, at, end, call });
        }
    };
    let mut exits: Vec<(u32, Duration)> = Vec::new();
    for line in BufReader::new(file).lines().map_while(Result::ok) {
        // PID SECONDS.MICROSECONDS TEXT
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let Ok(pid) = pid.parse() else { continue };
        let Some((time, text)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        let Some(time) = seconds(time) else { continue };
        let at = time.saturating_sub(zero);
        last = last.max(at);
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            pending.insert(pid, (at, begun.trim_end().to_string()));
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let Some((at, begun)) = pending.remove(&pid) else {
                continue;
            };
            let Some((_, ended)) = rest.split_once("resumed>") else {
                continue;
            };
            let (ended, took) = without_time(ended);
            keep(pid, at, at + took, &format!("{begun}{ended}"));
        } else if text.starts_with("+++ exited") {
            exits.push((pid, at));
        } else {
            let (text, took) = without_time(text);
            keep(pid, at, at + took, text);
        }
    }
    for (pid, (at, begun)) in pending {
        keep(pid, at, last.max(at), &format!("{begun}) = ?"));
    }
    for (pid, at) in exits {
        found(Traced::Exit { pid, at });
    }
}

/// The calls of a program that are about sockets.
pub(super) struct Calls {
    program: usize,
    sockets: HashSet<i32>,
}

impl Calls {
    pub(super) fn new(program: usize) -> Calls {
        Calls {
            program,
            sockets: HashSet::new(),
        }
    }

    pub(super) fn see(&mut self, traced: &Traced) -> Option<(Duration, What)> {
        let Traced::Call { at, end, call, .. } = traced else {
            return None;
        };
        // Some begin with the number of a descriptor, and with a socket's only by chance.
        if WAITS.split([',', '?']).any(|name| name == call.0)
            || !concerns_a_socket(call, &mut self.sockets)
        {
            return None;
        }
        let (name, arguments, result) = call.clone();
        let what = What::Call {
            program: self.program,
            name,
            arguments,
            result,
            end_us: end.as_micros() as i64,
        };
        Some((*at, what))
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let (seconds, micros) = text.split_once('.')?;
    Some(Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?))
}

/// Splits `… = 0 <0.000123>`.
fn without_time(text: &str) -> (&str, Duration) {
    text.strip_suffix('>')
        .and_then(|text| text.rsplit_once(" <"))
        .and_then(|(text, time)| Some((text, seconds(time)?)))
        .unwrap_or((text, Duration::ZERO))
}

/// `connect(3, {…}, 16) = 0` into its parts.
fn split(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')').unwrap_or(arguments);
    let call = [name, arguments, result].map(|part| part.trim().to_string());
    let [name, arguments, result] = call;
    Some((name, arguments, result))
}

/// Follows which descriptors are sockets, and tells whether this call is about one.
fn concerns_a_socket((name, arguments, result): &Call, sockets: &mut HashSet<i32>) -> bool {
    let first: Option<i32> = arguments
        .split([',', ')'])
        .next()
        .and_then(|text| text.trim().parse().ok());
    let made: Option<i32> = result
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .filter(|made| *made >= 0);
    let about = first.is_some_and(|first| sockets.contains(&first));
    match name.as_str() {
        "socket" => {
            // Sockets for other uses, such as asking a name service daemon, are not what a reader looks for.
            if !arguments.starts_with("AF_INET") {
                return false;
            }
            sockets.extend(made);
            true
        }
        "accept" | "accept4" => {
            sockets.extend(made);
            about
        }
        "dup" | "dup2" | "dup3" => {
            if about {
                sockets.extend(made);
            }
            about
        }
        "fcntl" => {
            if about && arguments.contains("F_DUPFD") {
                sockets.extend(made);
            }
            about
        }
        "close" => {
            if let Some(first) = first {
                sockets.remove(&first);
            }
            about
        }
        "poll" | "ppoll" => sockets
            .iter()
            .any(|socket| arguments.contains(&format!("fd={socket},"))),
        _ => about,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn calls_of(trace: &str) -> Vec<(u64, u64, String)> {
        let (output, mut input) = io::pipe().unwrap();
        input.write_all(trace.as_bytes()).unwrap();
        drop(input);
        let mut calls = Calls::new(0);
        let mut found = Vec::new();
        read(output, UNIX_EPOCH + Duration::from_secs(100), |traced| {
            if let Some((at, what)) = calls.see(&traced)
                && let What::Call {
                    name,
                    arguments,
                    result,
                    end_us,
                    ..
                } = what
            {
                let text = format!("{name}({arguments}) = {result}");
                found.push((at.as_micros() as u64, end_us as u64, text));
            }
        });
        found
    }

    #[test]
    fn only_calls_about_sockets_are_kept() {
        let calls = calls_of(
            "7 100.000010 read(3, \"ELF\", 832) = 832 <0.000001>\n\
             7 100.000020 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3 <0.000002>\n\
             7 100.000030 write(1, \"x\", 1) = 1 <0.000001>\n\
             7 100.000040 write(3, \"a) = b\", 6) = 6 <0.000004>\n\
             7 100.000050 close(3) = 0 <0.000001>\n\
             7 100.000060 write(3, \"file\", 4) = 4 <0.000001>\n",
        );
        let texts: Vec<&str> = calls.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3",
                "write(3, \"a) = b\", 6) = 6",
                "close(3) = 0",
            ]
        );
        assert_eq!((calls[1].0, calls[1].1), (40, 44));
    }

    #[test]
    fn a_call_that_was_interleaved_or_never_returned_keeps_its_start() {
        let calls = calls_of(
            "7 100.000010 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3 <0.000001>\n\
             7 100.000020 accept4(3,  <unfinished ...>\n\
             8 100.000025 close(9) = 0 <0.000001>\n\
             7 100.000090 <... accept4 resumed>NULL, NULL, SOCK_CLOEXEC) = 4 <0.000070>\n\
             7 100.000095 recvfrom(4,  <unfinished ...>\n\
             7 100.000200 +++ killed by SIGKILL +++\n",
        );
        assert_eq!((calls[1].0, calls[1].1), (20, 90));
        assert_eq!(calls[1].2, "accept4(3,NULL, NULL, SOCK_CLOEXEC) = 4");
        assert_eq!(calls[2], (95, 200, "recvfrom(4,) = ?".to_string()));
    }
}
