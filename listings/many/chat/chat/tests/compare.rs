//! What a member costs in each version. With `RECORD_OUTPUT` set, the table on
//! the page is written anew.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use support::{DEADLINE, Program};

const MEMBERS: usize = 200;

struct Cost {
    code: usize,
    threads: usize,
    /// Resident memory of the process for each member, in bytes.
    memory: usize,
}

fn cost(program: &str, source: &str) -> Cost {
    let mut server = Program::start(Command::new(program).args([
        "127.0.0.1:0",
        &MEMBERS.to_string(),
        "60000",
    ]));
    let addr = server.address();
    let status = |server: &Program, field: &str| -> usize {
        let file = format!("/proc/{}/status", server.id());
        let status = fs::read_to_string(file).unwrap();
        let line = status.lines().find(|line| line.starts_with(field));
        let value = line.unwrap().split_whitespace().nth(1).unwrap();
        value.parse().unwrap()
    };
    let empty = status(&server, "VmRSS:");
    let mut members: Vec<TcpStream> = Vec::new();
    for i in 0..MEMBERS {
        let mut member = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
        member.set_read_timeout(Some(DEADLINE)).unwrap();
        member.write_all(format!("m{i}\n").as_bytes()).unwrap();
        let mut here = String::new();
        BufReader::with_capacity(1, &member)
            .read_line(&mut here)
            .unwrap();
        assert!(here.ends_with(&format!("m{i}\n")), "{here}");
        members.push(member);
        if i % 20 == 0 {
            // Who does not read is dropped.
            members.iter_mut().for_each(drain);
        }
    }
    let full = status(&server, "VmRSS:");
    let threads = status(&server, "Threads:");
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//")
    };
    Cost {
        code: source.lines().filter(is_code).count(),
        threads,
        memory: (full - empty) * 1024 / MEMBERS,
    }
}

fn drain(member: &mut TcpStream) {
    member.set_nonblocking(true).unwrap();
    while member.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
    member.set_nonblocking(false).unwrap();
}

#[test]
fn a_member_costs_two_threads_or_a_task() {
    let threads = cost(
        env!("CARGO_BIN_EXE_chat-threads"),
        include_str!("../src/bin/chat-threads.rs"),
    );
    let tokio = cost(
        env!("CARGO_BIN_EXE_chat-tokio"),
        include_str!("../src/bin/chat-tokio.rs"),
    );
    // Two a member, `main`, and the one that waits for signals.
    assert_eq!(threads.threads, 2 * MEMBERS + 2);
    assert_eq!(tokio.threads, 1);
    assert!(threads.memory < 128 * 1024, "{}", threads.memory);
    assert!(tokio.memory < 32 * 1024, "{}", tokio.memory);

    let kib = |bytes: usize| format!("{:.1} KiB", bytes as f64 / 1024.0);
    let rows = [
        ["", "chat-threads", "chat-tokio"].map(String::from),
        [
            "lines of code".to_string(),
            threads.code.to_string(),
            tokio.code.to_string(),
        ],
        [
            format!("threads, {MEMBERS} members"),
            threads.threads.to_string(),
            tokio.threads.to_string(),
        ],
        [
            "memory a member".to_string(),
            kib(threads.memory),
            kib(tokio.memory),
        ],
    ];
    let mut table = String::new();
    for [what, one, other] in rows {
        table += &format!("{what:22}{one:>14}{other:>14}\n");
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/output/compare.txt");
    if std::env::var_os("RECORD_OUTPUT").is_some() {
        fs::write(file, &table).unwrap();
    }
    // Memory differs a little from run to run, and nothing else does.
    let without_memory = |table: &str| -> Vec<String> {
        let words = table.split_whitespace();
        words
            .filter(|word| !word.contains('.'))
            .map(String::from)
            .collect()
    };
    let page = fs::read_to_string(file).unwrap();
    assert_eq!(without_memory(&table), without_memory(&page));
}
