//! What each thread of a program waits for, from its system calls.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::trace::{Call, Traced, returned};
use crate::recording::{Did, What, Whom};

/// Who is longer in a call waits in it. On a busy machine and under `strace`, a call that waits for nothing can take
/// half of this.
const WAITED: Duration = Duration::from_millis(5);

/// Calls in which a thread can wait, without those that begin, name and end threads.
const CAN_WAIT: [&str; 33] = [
    "accept",
    "accept4",
    "connect",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "write",
    "writev",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "sendfile",
    "splice",
    "close",
    "shutdown",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "futex",
    "io_uring_enter",
    "nanosleep",
    "clock_nanosleep",
    "restart_syscall",
    "wait4",
    "waitid",
    "fcntl",
    "dup",
];

/// Calls that move bytes or begin or end a connection: a thread that makes them works for a peer.
const WORK: [&str; 17] = [
    "accept", "accept4", "connect", "read", "readv", "recvfrom", "recvmsg", "recvmmsg", "write",
    "writev", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice", "close", "shutdown",
];

pub(super) struct Waits {
    program: usize,
    threads: Vec<Thread>,
    /// Whom the calls on a descriptor are about, and since when.
    sockets: HashMap<i32, (Whom, Duration)>,
    found: Vec<(Duration, What)>,
}

struct Thread {
    pid: u32,
    begin: Duration,
    end: Option<Duration>,
    name: Option<String>,
    /// What it did since it waited last, and from when to when.
    did: Vec<Did>,
    span: (Duration, Duration),
    /// The call that a signal has interrupted, and the kernel resumes.
    before: Option<(String, Whom)>,
}

impl Waits {
    pub(super) fn new(program: usize) -> Waits {
        Waits {
            program,
            threads: Vec::new(),
            sockets: HashMap::new(),
            found: Vec::new(),
        }
    }

    pub(super) fn see(&mut self, traced: &Traced) {
        match traced {
            Traced::Call { pid, at, end, call } => self.call(*pid, *at, *end, call),
            Traced::Exit { pid, at } => {
                let thread = self.thread(*pid, *at);
                self.threads[thread].end = Some(*at);
            }
        }
    }

    /// All that was found, when the trace has ended.
    pub(super) fn finish(mut self) -> Vec<(Duration, What)> {
        for index in 0..self.threads.len() {
            self.worked(index);
        }
        let threads = self.threads.iter().enumerate().map(|(index, thread)| {
            let what = What::Thread {
                program: self.program,
                thread: index,
                name: thread.name.clone(),
                end_us: thread.end.map(micros),
            };
            (thread.begin, what)
        });
        threads.chain(self.found).collect()
    }

    /// Its number. Who was not known begins now.
    fn thread(&mut self, pid: u32, at: Duration) -> usize {
        if let Some(known) = self.threads.iter().position(|thread| thread.pid == pid) {
            // Its first call may have been told before the one that began it.
            let begin = &mut self.threads[known].begin;
            *begin = at.min(*begin);
            return known;
        }
        self.threads.push(Thread {
            pid,
            begin: at,
            end: None,
            name: None,
            did: Vec::new(),
            span: (at, at),
            before: None,
        });
        self.threads.len() - 1
    }

    fn call(&mut self, pid: u32, at: Duration, end: Duration, call: &Call) {
        let thread = self.thread(pid, at);
        let (name, arguments, result) = call;
        match name.as_str() {
            "clone" | "clone3" | "fork" | "vfork" => {
                if let Some(pid) = number(result).filter(|pid| *pid > 0) {
                    self.thread(pid as u32, end);
                }
                return;
            }
            "prctl" => {
                if let Some(name) = arguments.strip_prefix("PR_SET_NAME, \"") {
                    let name = name.split('"').next().unwrap_or_default();
                    self.threads[thread].name = Some(name.to_string());
                }
                return;
            }
            _ => {}
        }
        let (name, mut whom) = match (name.as_str(), self.threads[thread].before.take()) {
            ("restart_syscall", Some(before)) => before,
            _ => (name.clone(), self.whom(name, arguments)),
        };
        let waited = CAN_WAIT.contains(&name.as_str()) && (end - at > WAITED || !returned(call));
        if result.starts_with("? ERESTART") {
            self.threads[thread].before = Some((name.clone(), whom));
        }
        if waited {
            self.worked(thread);
            let what = What::Wait {
                program: self.program,
                thread,
                name: name.clone(),
                whom,
                result: result.split(" (").next().unwrap_or_default().to_string(),
                end_us: returned(call).then(|| micros(end)),
            };
            self.found.push((at, what));
        }
        self.follow(&name, arguments, result, (at, end));
        if waited {
            return;
        }
        // Who has come is known now: to a listening socket, or to one that takes datagrams of everybody.
        if whom == Whom::Anyone
            && let Some(peer) = address(arguments)
        {
            whom = Whom::Peer(peer);
        }
        if WORK.contains(&name.as_str()) && matches!(whom, Whom::Peer(_)) {
            let thread = &mut self.threads[thread];
            if thread.did.is_empty() {
                thread.span.0 = at;
            }
            thread.span.1 = end;
            let same = |did: &&mut Did| did.name == name && did.whom == whom;
            match thread.did.iter_mut().find(same) {
                Some(did) => did.count += 1,
                None => thread.did.push(Did {
                    name,
                    whom,
                    count: 1,
                }),
            }
        }
    }

    /// A thread has waited or ended: what it did until then is one piece of work.
    fn worked(&mut self, thread: usize) {
        let calls = std::mem::take(&mut self.threads[thread].did);
        let (begin, end) = self.threads[thread].span;
        if !calls.is_empty() {
            let what = What::Work {
                program: self.program,
                thread,
                calls,
                end_us: micros(end),
            };
            self.found.push((begin, what));
        }
    }

    fn whom(&self, name: &str, arguments: &str) -> Whom {
        match name {
            "futex" => Whom::Thread,
            "nanosleep" | "clock_nanosleep" => Whom::Time,
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "io_uring_enter" | "select"
            | "pselect6" | "accept" | "accept4" => Whom::Anyone,
            "poll" | "ppoll" => {
                static FD: LazyLock<Regex> =
                    LazyLock::new(|| Regex::new(r"fd=(\d+)").expect("a valid pattern"));
                // What comes after the list is what happened.
                let list = arguments.split(']').next().unwrap_or_default();
                let mut asked: Vec<Whom> = FD
                    .captures_iter(list)
                    .map(|found| self.on(&found[1]))
                    .filter(|whom| *whom != Whom::Other)
                    .collect();
                match (asked.pop(), asked.is_empty()) {
                    (Some(whom), true) => whom,
                    (Some(_), false) => Whom::Anyone,
                    (None, _) if list.contains("fd=") => Whom::Other,
                    (None, _) => Whom::Time,
                }
            }
            "wait4" | "waitid" => Whom::Other,
            "connect" | "sendto" => match address(arguments) {
                Some(peer) => Whom::Peer(peer),
                None => self.on(arguments),
            },
            _ => self.on(arguments),
        }
    }

    /// Whom a call is about by the descriptor that its arguments begin with.
    fn on(&self, arguments: &str) -> Whom {
        let known = number(arguments).and_then(|fd| self.sockets.get(&fd));
        known.map_or(Whom::Other, |(whom, _)| *whom)
    }

    /// Keeps up which descriptor is whose.
    fn follow(
        &mut self,
        name: &str,
        arguments: &str,
        result: &str,
        (at, end): (Duration, Duration),
    ) {
        let first = number(arguments);
        let made = number(result).filter(|made| *made >= 0);
        match (name, first, made) {
            ("socket", _, Some(made)) if arguments.starts_with("AF_INET") => {
                self.sockets.insert(made, (Whom::Anyone, end));
            }
            ("accept" | "accept4", _, Some(made)) => {
                let whom = address(arguments).map_or(Whom::Anyone, Whom::Peer);
                self.sockets.insert(made, (whom, end));
            }
            ("connect", Some(fd), _) => {
                if let Some(peer) = address(arguments)
                    && let Some((whom, _)) = self.sockets.get_mut(&fd)
                {
                    *whom = Whom::Peer(peer);
                }
            }
            ("dup" | "dup2" | "dup3" | "fcntl", Some(fd), Some(made)) => {
                if (name != "fcntl" || arguments.contains("F_DUPFD"))
                    && let Some((whom, _)) = self.sockets.get(&fd).copied()
                {
                    self.sockets.insert(made, (whom, end));
                }
            }
            // Another thread may have got the number anew before this call was back.
            ("close", Some(fd), _)
                if self.sockets.get(&fd).is_some_and(|(_, since)| *since <= at) =>
            {
                self.sockets.remove(&fd);
            }
            _ => {}
        }
    }
}

fn micros(time: Duration) -> i64 {
    time.as_micros() as i64
}

/// The number that a text begins with, and that ends before a comma, a space or the end.
fn number(text: &str) -> Option<i32> {
    text.split([',', ' ', ')']).next()?.parse().ok()
}

/// The address of the internet in the arguments of a call.
fn address(arguments: &str) -> Option<SocketAddr> {
    static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r#"sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]*)"\)"#,
            r#"|sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]*)""#
        ))
        .expect("a valid pattern")
    });
    let found = ADDRESS.captures(arguments)?;
    let part = |one: usize, other: usize| found.get(one).or(found.get(other));
    let ip: IpAddr = part(2, 4)?.as_str().parse().ok()?;
    // A socket of IPv6 that also takes IPv4 has such peers.
    Some(SocketAddr::new(
        ip.to_canonical(),
        part(1, 3)?.as_str().parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::time::UNIX_EPOCH;

    use super::super::trace::read;
    use super::*;

    /// What a trace tells, in lines: times in milliseconds.
    fn told_by(trace: &str) -> Vec<String> {
        let (output, mut input) = io::pipe().unwrap();
        input.write_all(trace.as_bytes()).unwrap();
        drop(input);
        let mut waits = Waits::new(0);
        read(output, UNIX_EPOCH + Duration::from_secs(100), |traced| {
            waits.see(&traced);
        });
        let mut found = waits.finish();
        found.sort_by_key(|(at, _)| *at);
        let whom = |whom: &Whom| match whom {
            Whom::Peer(peer) => peer.to_string(),
            other => format!("{other:?}"),
        };
        let until =
            |end: &Option<i64>| end.map_or("the end".to_string(), |end| (end / 1000).to_string());
        let told = found.iter().map(|(at, what)| {
            let at = at.as_millis();
            match what {
                What::Thread {
                    thread,
                    name,
                    end_us,
                    ..
                } => {
                    let name = name.as_deref().unwrap_or("-");
                    format!("{at} thread {thread} {name} to {}", until(end_us))
                }
                What::Wait {
                    thread,
                    name,
                    whom: of,
                    result,
                    end_us,
                    ..
                } => format!(
                    "{at} {thread}: {name} {} = {result} to {}",
                    whom(of),
                    until(end_us)
                ),
                What::Work {
                    thread,
                    calls,
                    end_us,
                    ..
                } => {
                    let calls: Vec<String> = calls
                        .iter()
                        .map(|did| format!("{}x{} {}", did.name, did.count, whom(&did.whom)))
                        .collect();
                    format!("{at} {thread}: {} to {}", calls.join(", "), end_us / 1000)
                }
                other => panic!("{other:?}"),
            }
        });
        told.collect()
    }

    const ANN: &str =
        r#"{sa_family=AF_INET, sin_port=htons(40000), sin_addr=inet_addr("10.0.0.1")}"#;

    #[test]
    fn a_thread_waits_for_the_peer_that_was_accepted() {
        let told = told_by(&format!(
            "7 100.001000 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3 <0.000010>\n\
             7 100.002000 listen(3, 128) = 0 <0.000010>\n\
             7 100.003000 accept4(3,  <unfinished ...>\n\
             7 100.063000 <... accept4 resumed>{ANN}, [128 => 16], SOCK_CLOEXEC) = 4 <0.060000>\n\
             7 100.063100 clone3({{flags=CLONE_VM|CLONE_THREAD}} => {{parent_tid=[8]}}, 88) = 8 <0.000050>\n\
             7 100.063200 accept4(3,  <unfinished ...>\n\
             8 100.063250 prctl(PR_SET_NAME, \"for ann\") = 0 <0.000010>\n\
             8 100.063300 recvfrom(4, \"hello\\n\", 1024, 0, NULL, NULL) = 6 <0.000020>\n\
             8 100.063400 sendto(4, \"hello\\n\", 6, MSG_NOSIGNAL, NULL, 0) = 6 <0.000020>\n\
             8 100.063500 recvfrom(4,  <unfinished ...>\n\
             8 100.363500 <... recvfrom resumed>\"\", 1024, 0, NULL, NULL) = 0 <0.300000>\n\
             8 100.363600 close(4) = 0 <0.000020>\n\
             8 100.363700 +++ exited with 0 +++\n\
             7 100.400000 +++ killed by SIGKILL +++\n"
        ));
        assert_eq!(
            told,
            [
                "1 thread 0 - to the end",
                "3 0: accept4 Anyone = 4 to 63",
                "63 thread 1 for ann to 363",
                "63 0: accept4 Anyone = ? to the end",
                "63 1: recvfromx1 10.0.0.1:40000, sendtox1 10.0.0.1:40000 to 63",
                "63 1: recvfrom 10.0.0.1:40000 = 0 to 363",
                "363 1: closex1 10.0.0.1:40000 to 363",
            ]
        );
    }

    #[test]
    fn readiness_is_waited_for_at_once_and_worked_off_for_each() {
        let told = told_by(&format!(
            "7 100.001000 socket(AF_INET6, SOCK_STREAM, IPPROTO_IP) = 3 <0.000010>\n\
             7 100.002000 epoll_wait(5, [{{events=EPOLLIN}}], 1024, -1) = 1 <0.050000>\n\
             7 100.052100 accept4(3, {ANN}, [128 => 16], SOCK_CLOEXEC|SOCK_NONBLOCK) = 4 <0.000010>\n\
             7 100.052200 accept4(3, 0x7ffc, [128], SOCK_CLOEXEC|SOCK_NONBLOCK) = -1 EAGAIN (Resource temporarily unavailable) <0.000010>\n\
             7 100.052300 write(6, \"log\", 3) = 3 <0.000010>\n\
             7 100.052400 epoll_wait(5, [], 1024, 1) = 0 <0.001000>\n\
             7 100.053500 recvfrom(4, \"hello\", 1024, 0, NULL, NULL) = 5 <0.000010>\n\
             7 100.053600 recvfrom(4, 0x7ffc, 1024, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.000010>\n\
             7 100.054000 epoll_wait(5,  <unfinished ...>\n\
             7 100.090000 <... epoll_wait resumed>0x7ffc, 1024, -1) = ? ERESTARTNOINTR (To be restarted) <0.036000>\n\
             7 100.091000 restart_syscall(<... resuming interrupted epoll_wait ...>) = 2 <0.009000>\n\
             7 100.100100 poll([{{fd=4, events=POLLOUT}}], 1, 1000) = 1 ([{{fd=4, revents=POLLOUT}}]) <0.010000>\n\
             7 100.110200 poll([{{fd=3, events=POLLIN}}, {{fd=4, events=POLLIN}}], 2, 1000) = 0 (Timeout) <0.010000>\n"
        ));
        assert_eq!(
            told,
            [
                "1 thread 0 - to the end",
                "2 0: epoll_wait Anyone = 1 to 52",
                "52 0: accept4x1 10.0.0.1:40000, recvfromx2 10.0.0.1:40000 to 53",
                "54 0: epoll_wait Anyone = ? ERESTARTNOINTR to 90",
                "91 0: epoll_wait Anyone = 2 to 100",
                "100 0: poll 10.0.0.1:40000 = 1 to 110",
                "110 0: poll Anyone = 0 to 120",
            ]
        );
    }

    #[test]
    fn threads_wait_for_each_other_for_a_time_and_for_pipes() {
        let told = told_by(
            "7 100.001000 futex(0x7f00, FUTEX_WAKE_PRIVATE, 1) = 1 <0.000010>\n\
             8 100.001500 read(5,  <unfinished ...>\n\
             7 100.002000 clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_THREAD) = 8 <0.000700>\n\
             7 100.003000 futex(0x7f00, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, FUTEX_BITSET_MATCH_ANY <unfinished ...>\n\
             7 100.013000 <... futex resumed>) = -1 EAGAIN (Resource temporarily unavailable) <0.010000>\n\
             7 100.014000 clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, {tv_sec=1, tv_nsec=5}, NULL) = 0 <0.010000>\n\
             7 100.030000 futex(0x7f00, FUTEX_WAIT_PRIVATE, 2, NULL <unfinished ...>\n\
             7 100.040000 <... futex resumed>) = ?\n\
             7 100.040000 +++ exited with 0 +++\n",
        );
        assert_eq!(
            told,
            [
                "1 thread 0 - to 40",
                "1 thread 1 - to the end",
                "1 1: read Other = ? to the end",
                "3 0: futex Thread = -1 EAGAIN to 13",
                "14 0: clock_nanosleep Time = 0 to 24",
                "30 0: futex Thread = ? to the end",
            ]
        );
    }

    #[test]
    fn a_descriptor_that_another_thread_gets_anew_is_the_new_peer_s() {
        let bob = ANN.replace("10.0.0.1", "10.0.0.3");
        let told = told_by(&format!(
            "7 100.001000 accept4(3, {ANN}, [128 => 16], SOCK_CLOEXEC) = 4 <0.000010>\n\
             8 100.002000 close(4 <unfinished ...>\n\
             7 100.002010 accept4(3, {bob}, [128 => 16], SOCK_CLOEXEC) = 4 <0.000040>\n\
             8 100.002100 <... close resumed>) = 0 <0.000100>\n\
             7 100.003000 recvfrom(4, \"hello\", 1024, 0, NULL, NULL) = 5 <0.010000>\n"
        ));
        assert_eq!(
            told.last().unwrap(),
            "3 0: recvfrom 10.0.0.3:40000 = 5 to 13"
        );
    }

    #[test]
    fn datagrams_come_from_anyone_and_a_client_waits_for_its_server() {
        let told = told_by(&format!(
            "7 100.001000 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 3 <0.000010>\n\
             7 100.002000 recvfrom(3, \"hello\", 1024, 0, {ANN}, [128 => 16]) = 5 <0.010000>\n\
             7 100.012100 sendto(3, \"hello\", 5, MSG_NOSIGNAL, {ANN}, 16) = 5 <0.000010>\n\
             7 100.013000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4 <0.000010>\n\
             7 100.014000 connect(4, {ANN}, 16) = 0 <0.040000>\n\
             7 100.054100 read(4, \"hello\", 1024) = 5 <0.020000>\n"
        ));
        assert_eq!(
            told[1..],
            [
                "2 0: recvfrom Anyone = 5 to 12",
                "12 0: sendtox1 10.0.0.1:40000 to 12",
                "14 0: connect 10.0.0.1:40000 = 0 to 54",
                "54 0: read 10.0.0.1:40000 = 5 to 74",
            ]
        );
    }
}
