//! The generator against servers that are well, and against others.

#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use support::{DEADLINE, Program, again, python};

/// What a server of a test has seen.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    bytes: AtomicU64,
}

/// An echo server whose answer `change` may spoil: it gets the bytes, and how
/// many came before them on the connection. With `false` the server closes.
fn server(
    change: impl Fn(&mut [u8], u64) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let (kept, change) = (Arc::clone(&seen), Arc::new(change));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, change) = (Arc::clone(&kept), Arc::clone(&change));
            thread::spawn(move || echo(stream.unwrap(), &seen, &*change));
        }
    });
    (addr, seen)
}

fn echo(
    mut stream: TcpStream,
    seen: &Seen,
    change: &dyn Fn(&mut [u8], u64) -> bool,
) {
    seen.connections.fetch_add(1, Ordering::SeqCst);
    let (mut buffer, mut before) = ([0; 8192], 0);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        seen.bytes.fetch_add(n as u64, Ordering::SeqCst);
        if !change(&mut buffer[..n], before)
            || stream.write_all(&buffer[..n]).is_err()
        {
            return;
        }
        before += n as u64;
    }
}

fn load(addr: SocketAddr, args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_load"))
            .arg(addr.to_string())
            .args(args)
            .args(["--warm-up", "0.05", "--seconds", "0.15"]),
    )
}

/// What the generator says, or its error. `None` where io_uring is forbidden.
fn said(program: Program) -> Option<Result<Value, String>> {
    let (status, stdout, stderr) = program.finish();
    if status.success() {
        assert_eq!(stdout.len(), 1, "{stdout:?}");
        return Some(Ok(serde_json::from_str(&stdout[0]).unwrap()));
    }
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    let error = stderr[0].strip_prefix("load: ").unwrap();
    if error.contains("io_uring, which needs") {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("skipped: no io_uring on this machine: {error}");
        return None;
    }
    Some(Err(error.to_string()))
}

fn number(report: &Value, name: &str) -> f64 {
    report[name]
        .as_f64()
        .unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn every_message_is_counted_and_every_answer_is_checked() {
    let counts = |size: u64, connections: u64| {
        let (addr, seen) = server(|_, _| true);
        let size_arg = size.to_string();
        let count = connections.to_string();
        let Some(report) = said(load(
            addr,
            &["ping-pong", "--connections", &count, "--size", &size_arg],
        )) else {
            return;
        };
        let report = report.unwrap();
        assert_eq!(number(&report, "errors"), 0.0);
        // On a busy machine nothing may fall into the time that is counted.
        let total = number(&report, "total");
        assert!(total >= number(&report, "answers"), "{report}");
        assert!(total >= connections as f64, "{report}");
        // One connection to try, and the first message of each.
        let sent = (total as u64 + connections + 1) * size;
        assert_eq!(seen.bytes.load(Ordering::SeqCst), sent, "{report}");
        let seen = seen.connections.load(Ordering::SeqCst);
        assert_eq!(seen, connections + 1);
    };
    thread::scope(|scope| {
        for (size, connections) in [(1, 3), (64, 20), (65536, 4), (200_000, 2)]
        {
            scope.spawn(move || counts(size, connections));
        }
    });
}

#[test]
fn connections_that_are_held_say_one_message_and_no_more() {
    let (addr, seen) = server(|_, _| true);
    let id = std::process::id().to_string();
    let Some(report) = said(load(
        addr,
        &[
            "ping-pong",
            "--connections",
            "50",
            "--active",
            "2",
            "--idle",
            "0.1",
            "--server",
            &id,
        ],
    )) else {
        return;
    };
    let report = report.unwrap();
    let total = number(&report, "total") as u64;
    assert_eq!(seen.bytes.load(Ordering::SeqCst), (total + 51) * 64);
    // This process is the server, so its memory and its time are known.
    assert!(number(&report, "server_idle_cpu") >= 0.0);
    assert!(report["server_bytes_each"].is_number(), "{report}");
}

#[test]
fn an_open_loop_sends_as_many_as_the_clock_says() {
    let (addr, _) = server(|_, _| true);
    let args = ["open", "--connections", "3", "--rate", "1000"];
    let Some(report) = said(load(addr, &args)) else {
        return;
    };
    // 0.05 s of warm-up and 0.15 s.
    assert_eq!(number(&report.unwrap(), "total"), 200.0);
}

#[test]
fn each_connect_is_a_connection_of_the_server() {
    let (addr, seen) = server(|_, _| true);
    let args = ["connects", "--connections", "5"];
    let Some(report) = said(load(addr, &args)) else {
        return;
    };
    let report = report.unwrap();
    assert_eq!(number(&report, "errors"), 0.0);
    let total = number(&report, "total") as u64;
    assert!(total > 0);
    assert_eq!(seen.connections.load(Ordering::SeqCst), total);
    assert_eq!(seen.bytes.load(Ordering::SeqCst), total * 64);
}

#[test]
fn a_byte_that_comes_back_as_another_one_is_found() {
    for workload in ["ping-pong", "open"] {
        let (addr, _) = server(|bytes, before| {
            // The byte 100 of each connection, wherever the split is.
            if (before..before + bytes.len() as u64).contains(&100) {
                bytes[(100 - before) as usize] ^= 1;
            }
            true
        });
        let Some(report) = said(load(addr, &[workload])) else {
            return;
        };
        let error = report.unwrap_err();
        assert!(
            error.starts_with("byte 100 of connection 0 was sent as 0x"),
            "{error}"
        );
    }
}

#[test]
fn an_answer_to_another_connection_is_found() {
    // Each connection gets back what the first one has sent.
    let first = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (addr, _) = server(move |bytes, _| {
        let mut first = first.lock().unwrap();
        if first.is_empty() {
            first.extend_from_slice(bytes);
        }
        let n = bytes.len().min(first.len());
        bytes[..n].copy_from_slice(&first[..n]);
        true
    });
    let args = ["ping-pong", "--connections", "2"];
    let Some(report) = said(load(addr, &args)) else {
        return;
    };
    let error = report.unwrap_err();
    assert!(error.contains(" was sent as 0x"), "{error}");
}

#[test]
fn a_server_that_closes_is_an_error_and_not_a_result() {
    let (addr, _) = server(|_, before| before < 64);
    let Some(report) = said(load(addr, &["ping-pong"])) else {
        return;
    };
    let error = report.unwrap_err();
    assert_eq!(error, format!("{addr} has closed all connections"));
}

#[test]
fn connections_that_are_lost_are_counted() {
    // All but the first two are closed at their second message. (The very
    // first one is the one to try.)
    let (count, most) = (AtomicU64::new(0), 2);
    let (addr, _) = server(move |_, before| {
        before != 64 || count.fetch_add(1, Ordering::SeqCst) < most
    });
    let args = ["ping-pong", "--connections", "5"];
    let Some(report) = said(load(addr, &args)) else {
        return;
    };
    assert_eq!(number(&report.unwrap(), "errors"), 3.0);
}

#[test]
fn without_a_server_the_address_and_the_cause_are_named() {
    for workload in ["ping-pong", "open", "connects"] {
        // Bound but not listening: nobody else can take the port.
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        bound.bind(&any.into()).unwrap();
        let addr = bound.local_addr().unwrap().as_socket().unwrap();
        let Some(report) = said(load(addr, &[workload])) else {
            return;
        };
        let error = report.unwrap_err();
        assert!(
            error.starts_with(&format!("connect to {addr}: ")),
            "{error}"
        );
        assert!(error.contains("refused"), "{error}");
    }
}

/// The server stands still for 300 ms of each second. Both generators meet the
/// same stalls. The closed one asks once in each, and waits; the open one
/// counts everybody who would have asked.
#[test]
fn a_closed_loop_misses_the_stall_that_an_open_loop_counts() {
    let mut server = Program::start(
        Command::new(env!("CARGO_BIN_EXE_load-stall"))
            .args(["127.0.0.1:0", "300"]),
    );
    let addr = server.address().to_string();
    let start = |args: &[&str]| {
        Program::start(
            Command::new(env!("CARGO_BIN_EXE_load"))
                .arg(&addr)
                .args(args)
                .args(["--warm-up", "0.1", "--seconds", "1.2"]),
        )
    };
    let closed = start(&["ping-pong"]);
    let open = start(&["open", "--rate", "500"]);
    let (Some(closed), Some(open)) = (said(closed), said(open)) else {
        return;
    };
    let (closed, open) = (closed.unwrap(), open.unwrap());
    // Both have seen a stall: it is the slowest of all answers.
    assert!(number(&closed, "max_us") > 100_000.0, "{closed}");
    assert!(number(&open, "max_us") > 100_000.0, "{open}");
    // More than a tenth of the messages waited long, and one loop says so.
    assert!(number(&open, "p90_us") > 50_000.0, "{open}");
    // In 1.2 s a closed loop can't be slow more often than 24 times. On a
    // machine that is very busy it may not ask ten times as often.
    if number(&closed, "answers") > 500.0 {
        assert!(number(&closed, "p90_us") < 50_000.0, "{closed}");
    }
}

#[test]
fn what_can_t_be_meant_is_refused_on_one_line() {
    let program = |args: &[&str]| {
        Program::start(Command::new(env!("CARGO_BIN_EXE_load")).args(args))
    };
    let any = "127.0.0.1:1";
    for (args, message) in [
        (&[][..], "usage: load ADDR"),
        (&[any], "usage: load ADDR"),
        (&["nowhere", "open"], "nowhere as an address: "),
        (&[any, "fast"], "there is no workload fast; "),
        (&[any, "open", "--rate"], "--rate wants a number"),
        (
            &[any, "open", "--rate", "0"],
            "--rate wants a number above 0",
        ),
        (
            &[any, "open", "--rate", "NaN"],
            "--rate wants a number above 0",
        ),
        (
            &[any, "open", "--size", "x"],
            "--size wants a number, not x: ",
        ),
        (
            &[any, "open", "--size", "0"],
            "--size wants a number from 1 ",
        ),
        (&[any, "open", "--connections", "0"], "--connections wants "),
        (&[any, "open", "--active", "2"], "--active can't be more "),
        (&[any, "open", "--seconds", "-1"], "--seconds wants seconds"),
        (
            &[any, "open", "--seconds", "0"],
            "--seconds wants a number ",
        ),
        (&[any, "open", "--core", "99999"], "there is no core 99999"),
        (&[any, "open", "--colour"], "unknown argument --colour; "),
    ] {
        let error = said(program(args)).unwrap().unwrap_err();
        assert!(error.starts_with(message), "{args:?}: {error}");
    }
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_named() {
    let program = Program::start(
        Command::new("sh")
            .args(["-c", r#"ulimit -n 100 && exec "$0" "$@""#])
            .arg(env!("CARGO_BIN_EXE_load"))
            .args(["127.0.0.1:1", "ping-pong", "--connections", "1000"]),
    );
    let error = said(program).unwrap().unwrap_err();
    let message = "1000 connections need 1064 descriptors, and the hard \
                   limit is 100; raise it with `ulimit -Hn 1064` as root, or \
                   in /etc/security/limits.conf";
    assert_eq!(error, message);
}

/// The peers that are not in Rust, as far as this machine has what they need.
fn peers() -> Vec<(SocketAddr, Program)> {
    let mut commands = Vec::new();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/c/epoll_server.c");
    let folder = env!("CARGO_TARGET_TMPDIR");
    let place = format!("{folder}/epoll-{}", std::process::id());
    let compiled = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o", &place, source])
        .status();
    match compiled {
        Ok(status) => {
            assert!(status.success());
            commands.push(Command::new(&place));
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "cc: {error}");
            eprintln!("skipped: the server in C needs cc: {error}");
        }
    }
    for script in ["python/selectors_server.py", "python/asyncio_server.py"] {
        commands.extend(python(script));
    }
    let mut peers = Vec::new();
    for mut command in commands {
        let mut peer = Program::start(command.arg("127.0.0.1:0"));
        peers.push((peer.address(), peer));
    }
    let _ = std::fs::remove_file(&place);
    peers
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn the_peers_echo_and_let_nobody_disturb_the_others() {
    for (addr, _peer) in peers() {
        echo_whatever_the_split_until_the_end(addr);
        serve_others_while_one_does_not_read_and_one_is_reset(addr);
    }
}

fn echo_whatever_the_split_until_the_end(addr: SocketAddr) {
    let mut stream = connect(addr);
    let sent: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
    let mut writer = stream.try_clone().unwrap();
    let expected = sent.clone();
    let sender = thread::spawn(move || {
        let mut rest = &sent[..];
        for n in (1..9999).step_by(7).cycle() {
            let (piece, after) = rest.split_at(n.min(rest.len()));
            writer.write_all(piece).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    again(|| stream.read_to_end(&mut received)).unwrap();
    sender.join().unwrap();
    assert!(received == expected);
}

fn serve_others_while_one_does_not_read_and_one_is_reset(addr: SocketAddr) {
    let greedy = connect(addr);
    greedy.set_nonblocking(true).unwrap();
    // Full when the server has stopped reading: nothing goes any more.
    let (mut full, mut sent) = (0, 0);
    while full < 50 {
        match (&greedy).write(&[7; 65536]) {
            Ok(n) => (full, sent) = (0, sent + n),
            Err(_) => {
                full += 1;
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
    let rude = connect(addr);
    (&rude).write_all(b"?").unwrap();
    let linger = Some(Duration::ZERO);
    socket2::SockRef::from(&rude).set_linger(linger).unwrap();
    drop(rude);
    let mut streams: Vec<_> = (0..200).map(|_| connect(addr)).collect();
    for round in 0..3 {
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&[number as u8, round]).unwrap();
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [number as u8, round]);
        }
    }
    // The one that did not read gets it all when it does.
    greedy.set_nonblocking(false).unwrap();
    greedy.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    again(|| (&greedy).read_to_end(&mut received)).unwrap();
    assert!(received == vec![7; sent]);
}

#[test]
fn a_peer_without_its_port_names_the_address_and_the_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for script in ["python/selectors_server.py", "python/asyncio_server.py"] {
        let Some(mut command) = python(script) else {
            return;
        };
        let program = Program::start(command.arg(&addr));
        let (status, _, stderr) = program.finish();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].contains(&addr), "{stderr:?}");
    }
}
