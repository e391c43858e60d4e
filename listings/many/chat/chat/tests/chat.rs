//! One suite for both servers: each test runs against `chat-threads` and
//! against `chat-tokio`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use support::{DEADLINE, Program, again};

#[derive(Clone, Copy)]
enum Kind {
    Threads,
    Tokio,
}

/// Each function of the list becomes a test of each server.
macro_rules! both {
    ($($(#[$attribute:meta])* $name:ident,)*) => {
        mod threads {
            $($(#[$attribute])* #[test] fn $name() {
                super::$name(super::Kind::Threads)
            })*
        }
        mod tokio {
            $($(#[$attribute])* #[test] fn $name() {
                super::$name(super::Kind::Tokio)
            })*
        }
    };
}

both! {
    a_line_reaches_all_others,
    a_name_is_checked,
    a_name_must_come_in_time,
    a_name_is_free_again_after_its_member_has_left,
    a_full_room_says_so,
    strangers_without_a_name_are_limited_too,
    a_line_may_be_split_anywhere,
    a_long_line_ends_its_member,
    nothing_that_commands_a_terminal_gets_through,
    half_a_line_is_no_line,
    a_flood_is_slowed_down_and_nobody_else_is,
    a_member_that_does_not_read_is_dropped_when_its_queue_is_full,
    a_member_that_does_not_read_is_dropped_when_a_line_takes_too_long,
    a_dropped_member_that_reads_again_gets_its_queue_and_the_reason,
    a_reset_ends_that_member_only,
    nobody_hears_a_member_before_it_joins_or_after_it_leaves,
    wrong_arguments_are_named,
    a_taken_port_is_named_with_its_cause,
    two_clients_talk,
    a_client_with_a_taken_name_ends_with_an_error,
    a_client_shows_no_commands_of_a_server,
    #[cfg(unix)]
    everybody_hears_goodbye,
    #[cfg(unix)]
    a_full_room_ends_too,
    #[cfg(unix)]
    nobody_delays_the_end,
    #[cfg(target_os = "linux")]
    a_log_that_cannot_be_written_ends_no_server,
    #[cfg(target_os = "linux")]
    without_descriptors_the_server_waits_and_recovers,
}

fn command(kind: Kind) -> Command {
    Command::new(match kind {
        Kind::Threads => env!("CARGO_BIN_EXE_chat-threads"),
        Kind::Tokio => env!("CARGO_BIN_EXE_chat-tokio"),
    })
}

/// A server with so many places and so many milliseconds of patience.
fn server(kind: Kind, members: u32, patience: u32) -> Program {
    Program::start(command(kind).args([
        "127.0.0.1:0",
        &members.to_string(),
        &patience.to_string(),
    ]))
}

fn client(addr: SocketAddr, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-client"));
    command.args([&addr.to_string(), name]);
    command
}

/// A peer of the server. The kernel's receive buffer of a small one holds
/// hardly more than 2 KiB.
struct Member(BufReader<TcpStream>);

impl Member {
    fn connect(addr: SocketAddr) -> Member {
        Member::new(TcpStream::connect_timeout(&addr, DEADLINE).unwrap())
    }

    fn small(addr: SocketAddr) -> Member {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        socket.connect_timeout(&addr.into(), DEADLINE).unwrap();
        Member::new(socket.into())
    }

    fn new(stream: TcpStream) -> Member {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Member(BufReader::with_capacity(16, stream))
    }

    /// Joins, and knows then that the server has seen it.
    fn join(addr: SocketAddr, name: &str) -> Member {
        let mut member = Member::connect(addr);
        member.say(name);
        let here = member.line().unwrap();
        let here = here.strip_prefix("* here: ").unwrap();
        assert!(
            here == name || here.ends_with(&format!(", {name}")),
            "{here}"
        );
        member
    }

    fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    fn say(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next line, or nothing at the end of the stream.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        if line.is_empty() {
            return None;
        }
        Some(line.strip_suffix('\n').unwrap().to_string())
    }

    fn hears(&mut self, line: &str) {
        assert_eq!(self.line().as_deref(), Some(line));
    }

    /// The last line, the end of the stream, and no reset before it.
    fn hears_goodbye(&mut self, why: &str) {
        self.hears(&format!("* goodbye: {why}"));
        assert_eq!(self.line(), None);
    }
}

fn a_line_reaches_all_others(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
    let mut eve = Member::join(addr, "粘包");
    ann.hears("* 粘包 joined");
    bob.hears("* 粘包 joined");

    ann.say("lunch at noon?");
    bob.hears("ann: lunch at noon?");
    eve.hears("ann: lunch at noon?");
    bob.say("gern, grüße!");
    ann.hears("bob: gern, grüße!"); // its own line did not come back
    eve.hears("bob: gern, grüße!");

    bob.stream().shutdown(Shutdown::Write).unwrap();
    bob.hears_goodbye("hung up");
    ann.hears("* bob left: hung up");
    eve.hears("* bob left: hung up");

    for log in [": ann joined", ": bob joined", ": 粘包 joined"] {
        assert!(server.log().ends_with(log));
    }
    assert!(server.log().ends_with(": bob left: hung up"));
}

fn a_name_is_checked(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let _ann = Member::join(addr, "ann");
    let rule = "a name is 1 to 16 letters and digits";
    let _longest = Member::join(addr, "ÄÖÜ4567890-_3456");
    for name in ["", "12345678901234567", "two words", "*", "ann:", "\x1bc"] {
        let mut refused = Member::connect(addr);
        refused.say(name);
        // The line after it is never read by anybody, and yet no reset comes.
        refused.say("let me in");
        refused.hears_goodbye(rule);
    }
    let mut refused = Member::connect(addr);
    refused.say("ann");
    refused.hears_goodbye("the name ann is taken");
    let mut refused = Member::connect(addr);
    refused.send(&[b'x'; 513]);
    refused.hears_goodbye("a line of more than 512 bytes");
    let mut gone = Member::connect(addr);
    gone.send(b"half a na");
    gone.stream().shutdown(Shutdown::Write).unwrap();
    gone.hears_goodbye("hung up");
}

fn a_name_must_come_in_time(kind: Kind) {
    let mut server = server(kind, 100, 300);
    let addr = server.address();
    let mut silent = Member::connect(addr);
    // A byte now and then buys no time.
    let mut slow = Member::connect(addr);
    let mut dripping = slow.stream().try_clone().unwrap();
    thread::spawn(move || {
        while dripping.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    silent.hears_goodbye("no name in time");
    slow.hears_goodbye("no name in time");
}

fn a_name_is_free_again_after_its_member_has_left(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    for _ in 0..3 {
        let mut ann = Member::join(addr, "ann");
        ann.stream().shutdown(Shutdown::Write).unwrap();
        ann.hears_goodbye("hung up");
    }
}

fn a_full_room_says_so(kind: Kind) {
    let mut server = server(kind, 2, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
    let mut eve = Member::connect(addr);
    eve.say("eve");
    eve.hears_goodbye("the room is full");
    drop(bob);
    ann.hears("* bob left: hung up");
    let _eve = Member::join(addr, "eve");
    ann.hears("* eve joined");
}

fn strangers_without_a_name_are_limited_too(kind: Kind) {
    let mut server = server(kind, 1, 300);
    let addr = server.address();
    let _ann = Member::join(addr, "ann");
    assert!(server.log().ends_with(": ann joined"));
    let _silent: Vec<_> = (0..16).map(|_| Member::connect(addr)).collect();
    // It has a name to say, and is not even asked before one of them goes.
    let mut bob = Member::connect(addr);
    bob.say("bob");
    assert!(server.log().ends_with(": refused: no name in time"));
    bob.hears_goodbye("the room is full");
}

fn a_line_may_be_split_anywhere(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut bob = Member::connect(addr);
    let said = "bob\r\n粘包\nGrüße\r\n";
    for byte in said.bytes() {
        bob.send(&[byte]);
    }
    ann.hears("* bob joined");
    ann.hears("bob: 粘包");
    ann.hears("bob: Grüße");
    for end in 1..said.len() {
        let mut eve = Member::connect(addr);
        eve.send(&said.as_bytes()[..end].replaced());
        eve.send(&said.as_bytes()[end..].replaced());
        eve.stream().shutdown(Shutdown::Write).unwrap();
        ann.hears("* eve joined");
        ann.hears("eve: 粘包");
        ann.hears("eve: Grüße");
        ann.hears("* eve left: hung up");
    }
}

/// The same bytes from somebody else.
trait Replaced {
    fn replaced(&self) -> Vec<u8>;
}

impl Replaced for [u8] {
    fn replaced(&self) -> Vec<u8> {
        let other = |&byte: &u8| match byte {
            b'o' => b'v',
            b'b' => b'e',
            byte => byte,
        };
        self.iter().map(other).collect()
    }
}

fn a_long_line_ends_its_member(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
    let longest = "x".repeat(512);
    bob.say(&longest);
    ann.hears(&format!("bob: {longest}"));
    // It never ends, and much of it is unread when the server has enough.
    bob.send(&[b'x'; 100_000]);
    bob.hears_goodbye("a line of more than 512 bytes");
    ann.hears("* bob left: a line of more than 512 bytes");
    // The same with its end.
    let mut eve = Member::join(addr, "eve");
    ann.hears("* eve joined");
    eve.say(&"x".repeat(513));
    eve.hears_goodbye("a line of more than 512 bytes");
    ann.hears("* eve left: a line of more than 512 bytes");
}

fn nothing_that_commands_a_terminal_gets_through(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
    for (sent, heard) in [
        (&b"\x1b[2Jgone"[..], "�[2Jgone"),
        (b"bell\x07 null\0 tab\t", "bell� null� tab�"),
        (b"over\rwritten", "over�written"),
        (b"C1 \xc2\x9b delete \x7f", "C1 � delete �"),
        (b"not UTF-8: \xff\xfe", "not UTF-8: ��"),
        (b"half: \xe7\xb2", "half: �"),
        (
            "line\u{2028}end, \u{202e}back".as_bytes(),
            "line�end, �back",
        ),
        (b"", ""),
    ] {
        bob.send(sent);
        bob.send(b"\n");
        ann.hears(&format!("bob: {heard}"));
    }
}

fn half_a_line_is_no_line(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
    bob.send(b"whole\nha");
    bob.stream().shutdown(Shutdown::Write).unwrap();
    ann.hears("bob: whole");
    ann.hears("* bob left: hung up");
}

fn a_flood_is_slowed_down_and_nobody_else_is(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
    let mut eve = Member::join(addr, "eve");
    ann.hears("* eve joined");
    let start = Instant::now();
    for i in 0..25 {
        bob.say(&i.to_string());
    }
    ann.hears("bob: 0");
    // Fifteen lines of the flood have to wait. This one does not.
    eve.say("me too");
    let mut next = 1;
    let mut before_eve = None;
    while next < 25 || before_eve.is_none() {
        let line = ann.line().unwrap();
        if line == "eve: me too" {
            before_eve = Some(next);
        } else {
            assert_eq!(line, format!("bob: {next}"));
            next += 1;
        }
    }
    assert!(before_eve < Some(25), "{before_eve:?}");
    assert!(start.elapsed() >= Duration::from_millis(1400));
}

/// So many members, each of whom says so many lines, and whose own ends are
/// read by a thread each.
fn talk(addr: SocketAddr, members: usize, lines: usize) -> Vec<Member> {
    (0..members)
        .map(|i| {
            let talker = Member::join(addr, &format!("talker{i}"));
            let mut reader = talker.stream().try_clone().unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while reader.read(&mut buffer).is_ok_and(|n| n > 0) {}
            });
            let mut writer = talker.stream().try_clone().unwrap();
            thread::spawn(move || {
                let line = format!("{}\n", "x".repeat(500));
                for _ in 0..lines {
                    if writer.write_all(line.as_bytes()).is_err() {
                        return;
                    }
                }
            });
            talker
        })
        .collect()
}

/// A server, a deaf member that it has dropped, and the reason.
fn dropped(
    kind: Kind,
    patience: u32,
    talkers: usize,
) -> (Program, Member, String) {
    let mut server = server(kind, 100, patience);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut deaf = Member::small(addr);
    deaf.say("deaf");
    ann.hears("* deaf joined");
    let talkers = talk(addr, talkers, 10_000);
    let why = loop {
        let line = ann.line().unwrap();
        if let Some(why) = line.strip_prefix("* deaf left: ") {
            break why.to_string();
        }
    };
    // The others are all there.
    let mut bob = Member::connect(addr);
    bob.say("bob");
    let here = bob.line().unwrap();
    assert_eq!(here.split(", ").count(), talkers.len() + 2, "{here}");
    drop(talkers);
    (server, deaf, why)
}

fn a_member_that_does_not_read_is_dropped_when_its_queue_is_full(kind: Kind) {
    let start = Instant::now();
    // Twenty say 100 KB at once, and then 100 KB a second.
    let (_server, _deaf, why) = dropped(kind, 60_000, 20);
    assert_eq!(why, "reads too slowly");
    assert!(start.elapsed() < DEADLINE);
}

fn a_member_that_does_not_read_is_dropped_when_a_line_takes_too_long(
    kind: Kind,
) {
    // Eight say 40 KB at once, which fit into the kernel and the queue.
    let start = Instant::now();
    let (_server, _deaf, why) = dropped(kind, 500, 8);
    // Where we were slow, Linux was first: it gives up a connection whose
    // window was zero for as long as `TCP_USER_TIMEOUT` says.
    let known = ["reads too slowly", "connection lost"];
    assert!(known.contains(&&*why), "{why}");
    assert!(start.elapsed() >= Duration::from_millis(500));
}

fn a_dropped_member_that_reads_again_gets_its_queue_and_the_reason(kind: Kind) {
    let (_server, mut deaf, _) = dropped(kind, 60_000, 20);
    SockRef::from(deaf.stream())
        .set_recv_buffer_size(1 << 20)
        .unwrap();
    deaf.hears("* here: ann, deaf");
    let mut lines = 0;
    loop {
        match deaf.line().unwrap() {
            line if line.ends_with(&"x".repeat(500)) => lines += 1,
            line if line.ends_with(" joined") => lines += 1,
            line => {
                assert_eq!(line, "* goodbye: reads too slowly");
                break;
            }
        }
    }
    assert!(lines >= 512, "{lines}");
    assert_eq!(deaf.line(), None);
}

fn a_reset_ends_that_member_only(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let rude = Member::join(addr, "rude");
    ann.hears("* rude joined");
    // Closing with a linger time of zero sends RST instead of FIN.
    SockRef::from(rude.stream())
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    ann.hears("* rude left: connection lost");
    let mut bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
    bob.say("still here?");
    ann.hears("bob: still here?");
}

/// Members come and go, each says ten lines, and everybody notes who is there.
fn nobody_hears_a_member_before_it_joins_or_after_it_leaves(kind: Kind) {
    const MEMBERS: usize = 8;
    const ROUNDS: usize = 5;
    let mut server = server(kind, 100, 30_000);
    let addr = server.address();
    let start = Arc::new(Barrier::new(MEMBERS));
    let members: Vec<_> = (0..MEMBERS)
        .map(|i| {
            let start = start.clone();
            thread::spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    come_and_go(addr, &format!("m{i}-{round}"));
                }
            })
        })
        .collect();
    for member in members {
        member.join().unwrap();
    }
}

fn come_and_go(addr: SocketAddr, name: &str) {
    let mut member = Member::connect(addr);
    member.say(name);
    let here = member.line().unwrap();
    let here = here.strip_prefix("* here: ").unwrap();
    let mut here: BTreeSet<String> =
        here.split(", ").map(str::to_string).collect();
    assert!(here.contains(name));
    for i in 0..10 {
        member.say(&i.to_string());
    }
    member.stream().shutdown(Shutdown::Write).unwrap();
    let mut heard: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        let line = member.line().expect("a goodbye");
        if line == "* goodbye: hung up" {
            break;
        } else if let Some(news) = line.strip_prefix("* ") {
            if let Some(name) = news.strip_suffix(" joined") {
                assert!(here.insert(name.to_string()), "{line}");
                heard.insert(name.to_string(), 0);
            } else {
                let name = news.strip_suffix(" left: hung up").expect(news);
                assert!(here.remove(name), "{line}");
                // Who was heard from the first line was heard to the last.
                if let Some(count) = heard.remove(name) {
                    assert!(count == 10, "{line}: {count}");
                }
            }
        } else {
            let (name, number) = line.split_once(": ").expect(&line);
            assert!(here.contains(name), "{line}");
            let number: u32 = number.parse().expect(&line);
            let next = heard.entry(name.to_string()).or_insert(number);
            assert_eq!(number, *next, "{line}");
            *next += 1;
        }
    }
    assert_eq!(member.line(), None);
}

fn wrong_arguments_are_named(kind: Kind) {
    for (members, patience, message) in [
        ("0", "1", "0 as a number of members: "),
        ("many", "1", "many as a number of members: "),
        ("1", "0", "0 as a number of milliseconds: "),
        ("1", "-1", "-1 as a number of milliseconds: "),
    ] {
        let mut command = command(kind);
        command.args(["127.0.0.1:0", members, patience]);
        let (status, stdout, stderr) = Program::start(&mut command).finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].contains(message), "{stderr:?}");
    }
}

fn a_taken_port_is_named_with_its_cause(kind: Kind) {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (status, stdout, stderr) =
        Program::start(command(kind).arg(&addr)).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].contains(&format!(": bind {addr}: ")),
        "{stderr:?}"
    );
}

/// Two programs at their terminals. Each input ends when it is dropped.
fn two_clients_talk(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let (input, mut ann_types) = std::io::pipe().unwrap();
    let mut ann = Program::start(client(addr, "ann").stdin(input));
    assert_eq!(ann.line(), "* here: ann");
    let (input, bob_types) = std::io::pipe().unwrap();
    let mut bob = Program::start(client(addr, "bob").stdin(input));
    assert_eq!(bob.line(), "* here: ann, bob");
    assert_eq!(ann.line(), "* bob joined");
    ann_types.write_all("Grüße\n".as_bytes()).unwrap();
    assert_eq!(bob.line(), "ann: Grüße");
    drop(bob_types);
    assert_eq!(bob.line(), "* goodbye: hung up");
    let (status, _, stderr) = bob.finish();
    assert!(status.success(), "{stderr:?}");
    assert_eq!(ann.line(), "* bob left: hung up");

    // The client ends although nobody has finished its input.
    drop(server);
    let (status, stdout, stderr) = ann.finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(stderr[0].contains(&addr.to_string()), "{stderr:?}");
}

fn a_client_with_a_taken_name_ends_with_an_error(kind: Kind) {
    let mut server = server(kind, 100, 10_000);
    let addr = server.address();
    let _ann = Member::join(addr, "ann");
    let (input, _types) = std::io::pipe().unwrap();
    let client = Program::start(client(addr, "ann").stdin(input));
    let (status, stdout, stderr) = client.finish();
    assert!(!status.success());
    assert_eq!(stdout, ["* goodbye: the name ann is taken"]);
    let end = format!("chat-client: {addr} has closed the connection");
    assert_eq!(stderr, [end]);
}

fn a_client_shows_no_commands_of_a_server(_: Kind) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let (input, _types) = std::io::pipe().unwrap();
    let mut client = Program::start(client(addr, "ann").stdin(input));
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"\x1b[2J\xff\n").unwrap();
    assert_eq!(client.line(), "�[2J�");
}

#[cfg(unix)]
fn signal(server: &Program, name: &str) {
    let id = server.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.unwrap().success());
}

#[cfg(unix)]
fn everybody_hears_goodbye(kind: Kind) {
    for name in ["INT", "TERM"] {
        let mut server = server(kind, 100, 30_000);
        let addr = server.address();
        let mut stranger = Member::connect(addr);
        let mut ann = Member::join(addr, "ann");
        let mut bob = Member::join(addr, "bob");
        ann.hears("* bob joined");
        for i in 0..10 {
            bob.say(&i.to_string());
        }
        ann.hears("bob: 0");
        signal(&server, name);
        // What the room had heard is still told, in order, and then the end.
        let mut next = 1;
        let goodbye = loop {
            let line = ann.line().unwrap();
            if line != format!("bob: {next}") {
                break line;
            }
            next += 1;
        };
        assert_eq!(goodbye, "* goodbye: the server ends");
        assert_eq!(ann.line(), None);
        bob.hears_goodbye("the server ends");
        stranger.hears_goodbye("the server ends");
        assert!(TcpStream::connect(addr).is_err());
        drop((ann, bob, stranger));
        let (status, _, stderr) = server.finish();
        assert!(status.success());
        assert_eq!(stderr.last().unwrap(), "served 2 members");
    }
}

/// No place is free, so the server is not in `accept`.
#[cfg(unix)]
fn a_full_room_ends_too(kind: Kind) {
    let mut server = server(kind, 1, 30_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut strangers: Vec<_> =
        (0..16).map(|_| Member::connect(addr)).collect();
    signal(&server, "TERM");
    ann.hears_goodbye("the server ends");
    drop(ann);
    for stranger in &mut strangers {
        // Some may still have been in the backlog, which is reset.
        let mut line = Vec::new();
        let end = again(|| stranger.0.read_until(b'\n', &mut line));
        match end {
            Ok(0) => {}
            Ok(_) => assert_eq!(line, b"* goodbye: the server ends\n"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    drop(strangers);
    let (status, _, stderr) = server.finish();
    assert!(status.success());
    assert_eq!(stderr.last().unwrap(), "served 1 members");
}

/// Neither a deaf member, nor one who does not close, nor the next signal.
#[cfg(unix)]
fn nobody_delays_the_end(kind: Kind) {
    let mut server = Program::start(command(kind).args([
        "127.0.0.1:0",
        "100",
        "600000",
        "500",
    ]));
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let mut deaf = Member::small(addr);
    deaf.say("deaf");
    ann.hears("* deaf joined");
    let _talkers = talk(addr, 8, 10);
    signal(&server, "TERM");
    while ann.line().unwrap() != "* goodbye: the server ends" {}
    signal(&server, "TERM");
    let start = Instant::now();
    let (status, _, stderr) = server.finish();
    assert!(status.success());
    assert!(start.elapsed() < Duration::from_secs(12));
    assert_eq!(stderr.last().unwrap(), "served 10 members");
}

#[cfg(target_os = "linux")]
fn a_log_that_cannot_be_written_ends_no_server(kind: Kind) {
    let mut server = Program::start(
        Command::new("sh")
            .args(["-c", r#"exec "$0" 127.0.0.1:0 2>/dev/full"#])
            .arg(command(kind).get_program()),
    );
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    let _bob = Member::join(addr, "bob");
    ann.hears("* bob joined");
}

#[cfg(target_os = "linux")]
fn without_descriptors_the_server_waits_and_recovers(kind: Kind) {
    let limit = |server: &Program, count: usize| {
        Command::new("prlimit")
            .args(["--pid", &server.id().to_string()])
            .arg(format!("--nofile={count}:256"))
            .status()
    };
    let mut server = server(kind, 100, 30_000);
    let addr = server.address();
    let mut ann = Member::join(addr, "ann");
    assert!(server.log().ends_with(": ann joined"));
    // All that are open, and not one more.
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.id()));
    match limit(&server, open.unwrap().count()) {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "prlimit: {error}");
            eprintln!("skipped: prlimit, of util-linux, is missing");
            return;
        }
    }
    // The `accept` that waits may already have its descriptor.
    let mut bob = Member::connect(addr);
    bob.say("bob");
    let mut eve = Member::connect(addr);
    eve.say("eve");
    while !server.log().starts_with("accept: Too many open files") {}
    assert!(limit(&server, 256).unwrap().success());
    let mut joined: Vec<_> = (0..2).map(|_| ann.line().unwrap()).collect();
    joined.sort();
    assert_eq!(joined, ["* bob joined", "* eve joined"]);
}
