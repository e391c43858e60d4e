mod support;

use std::fs;
use std::io::{self, PipeWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use support::{DEADLINE, Program, again, python};

fn receiver(args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_sticky-receiver")).args(args),
    )
}

/// A receiver that reads nothing until something is written to the pipe.
fn late_receiver(size: &str) -> (Program, PipeWriter) {
    let (input, enter) = io::pipe().unwrap();
    let program = Program::start(
        Command::new(env!("CARGO_BIN_EXE_sticky-receiver"))
            .args(["127.0.0.1:0", size, "late"])
            .stdin(input),
    );
    (program, enter)
}

fn sender(addr: SocketAddr, args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_sticky-sender"))
            .arg(addr.to_string())
            .args(args),
    )
}

fn many(addr: SocketAddr, args: &[&str]) -> Program {
    Program::start(
        Command::new(env!("CARGO_BIN_EXE_sticky-many"))
            .arg(addr.to_string())
            .args(args),
    )
}

/// Two ends of a connection: the first writes, the second reads.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let reader = again(|| listener.accept()).unwrap().0;
    writer.set_write_timeout(Some(DEADLINE)).unwrap();
    reader.set_read_timeout(Some(DEADLINE)).unwrap();
    (writer, reader)
}

/// Asks until the answer is yes.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in {DEADLINE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the kernel of the reader holds this many bytes.
fn arrived(reader: &TcpStream, count: usize) {
    let mut buffer = vec![0; count];
    until("bytes", || {
        again(|| reader.peek(&mut buffer)).unwrap() == count
    });
}

/// Waits until a connection to this address has got the end of the stream, and
/// so all that came before it. The sender has ended: where there is no table of
/// the kernel to look at, that is all we know.
fn all_arrived(addr: SocketAddr) {
    let Ok(_) = fs::read_to_string("/proc/self/net/tcp") else {
        return;
    };
    let port = format!(":{:04X}", addr.port());
    until("the end of the stream", || {
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
        table.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // 08 is CLOSE-WAIT.
            words[1].ends_with(&port) && words[3] == "08"
        })
    });
}

/// Numbers that look random and are the same each time: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// What the receiver read, put together again, and the counts of its last line.
fn stream_of(receiver: &mut Program) -> (String, String) {
    let mut stream = String::new();
    loop {
        let line = receiver.log();
        let Some(read) = line.strip_prefix("read ") else {
            return (stream, line);
        };
        let text = read.strip_prefix('"').and_then(|r| r.strip_suffix('"'));
        stream += text.unwrap_or_else(|| panic!("{line}"));
    }
}

#[test]
fn a_late_reader_gets_both_writes_in_one_read_with_nagle_and_without() {
    for nodelay in [false, true] {
        let (mut writer, mut reader) = pair();
        writer.set_nodelay(nodelay).unwrap();
        writer.write_all(b"left 10").unwrap();
        arrived(&reader, 7);
        // The first one is there. Only now the second one is written.
        writer.write_all(b"right 5").unwrap();
        arrived(&reader, 14);
        let mut buffer = [0; 1024];
        let n = again(|| reader.read(&mut buffer)).unwrap();
        assert_eq!(&buffer[..n], b"left 10right 5", "nodelay {nodelay}");
    }
}

#[test]
fn the_late_receiver_reads_one_message_where_two_were_sent() {
    for nagle in ["nagle", "nodelay"] {
        let (mut receiver, mut enter) = late_receiver("1024");
        let addr = receiver.address();
        let steps = [nagle, "left 10", "+100", "right 5"];
        assert!(sender(addr, &steps).finish().0.success());
        all_arrived(addr);
        assert_eq!(receiver.log(), "busy; press Enter");
        writeln!(enter).unwrap();
        assert_eq!(receiver.log(), r#"read "left 10right 5""#);
        assert_eq!(receiver.log(), "end; reads: 1, bytes: 14");
    }
}

#[test]
fn without_arguments_the_sender_writes_the_same_two_messages() {
    let mut receiver = receiver(&["127.0.0.1:0"]);
    assert!(sender(receiver.address(), &[]).finish().0.success());
    assert_eq!(stream_of(&mut receiver).0, "left 10right 5");
}

#[test]
fn a_short_buffer_cuts_where_it_is_full() {
    let (mut receiver, mut enter) = late_receiver("4");
    let addr = receiver.address();
    let steps = ["nagle", "left 10", "right 5"];
    assert!(sender(addr, &steps).finish().0.success());
    all_arrived(addr);
    assert_eq!(receiver.log(), "busy; press Enter");
    writeln!(enter).unwrap();
    for read in ["left", " 10r", "ight", " 5"] {
        assert_eq!(receiver.log(), format!("read {read:?}"));
    }
    assert_eq!(receiver.log(), "end; reads: 4, bytes: 14");
}

#[test]
fn a_mebibyte_written_at_once_comes_in_many_reads_and_in_order() {
    let (mut writer, mut reader) = pair();
    let sent: Vec<u8> = (0..1 << 18).flat_map(u32::to_be_bytes).collect();
    let expected = sent.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    let mut buffer = vec![0; 65_536];
    let mut reads = 0;
    loop {
        match again(|| reader.read(&mut buffer)).unwrap() {
            0 => break,
            n => received.extend_from_slice(&buffer[..n]),
        }
        reads += 1;
    }
    sender.join().unwrap();
    assert!(received == expected);
    assert!(reads >= 16, "{reads}");
}

#[test]
fn the_receiver_counts_every_byte_of_a_mebibyte() {
    let mut receiver = receiver(&["127.0.0.1:0", "65536", "quiet"]);
    let addr = receiver.address();
    let args = ["nagle", "1", "1048576", "0"];
    assert!(many(addr, &args).finish().0.success());
    let end = receiver.log();
    let counts = end.strip_prefix("end; reads: ").unwrap();
    let (reads, bytes) = counts.split_once(", bytes: ").unwrap();
    assert!(reads.parse::<u32>().unwrap() >= 16, "{end}");
    assert_eq!(bytes, "1048576");
}

#[test]
fn whatever_the_borders_are_the_bytes_are_the_same() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..10 {
        let size = (1 + random.below(60)).to_string();
        let mut receiver = receiver(&["127.0.0.1:0", &size]);
        let addr = receiver.address();
        let mut writer = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
        writer.set_write_timeout(Some(DEADLINE)).unwrap();
        writer.set_nodelay(random.below(2) == 0).unwrap();
        let text: Vec<u8> =
            (0..3000).map(|_| b'a' + random.below(26) as u8).collect();
        let mut rest = &text[..];
        while !rest.is_empty() {
            let n = (1 + random.below(100)).min(rest.len());
            writer.write_all(&rest[..n]).unwrap();
            rest = &rest[n..];
        }
        drop(writer);
        // How many reads it took is nobody's business.
        let (stream, end) = stream_of(&mut receiver);
        assert_eq!(stream.as_bytes(), text);
        assert!(end.ends_with(", bytes: 3000"), "{end}");
    }
}

#[test]
fn many_messages_are_as_many_bytes_however_they_are_written() {
    let mut receiver = receiver(&["127.0.0.1:0", "1024", "quiet"]);
    let addr = receiver.address();
    for how in ["nagle", "nodelay", "batches"] {
        let args = [how, "105", "20", "0"];
        assert!(many(addr, &args).finish().0.success());
        let end = receiver.log();
        assert!(end.ends_with(", bytes: 2100"), "{how}: {end}");
    }
}

#[test]
fn two_datagrams_stay_two() {
    let mut datagrams = Program::start(&mut Command::new(env!(
        "CARGO_BIN_EXE_sticky-datagrams"
    )));
    assert_eq!(datagrams.line(), r#"received "left 10""#);
    assert_eq!(datagrams.line(), r#"received "right 5""#);
    assert!(datagrams.finish().0.success());
}

#[test]
fn a_reset_ends_that_sender_only() {
    let mut receiver = receiver(&["127.0.0.1:0"]);
    let addr = receiver.address();
    let mut rude = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
    rude.write_all(b"left").unwrap();
    assert_eq!(receiver.log(), r#"read "left""#);
    // Closing with a linger time of zero sends RST instead of FIN.
    SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    let port = rude.local_addr().unwrap().port();
    drop(rude);
    let end = receiver.log();
    assert!(end.contains(&port.to_string()), "{end}");
    assert!(sender(addr, &["nagle", "stop"]).finish().0.success());
    assert_eq!(receiver.log(), r#"read "stop""#);
}

#[test]
fn wrong_arguments_are_named() {
    let one_line = |program: Program, said: &str| {
        let (status, _, stderr) = program.finish();
        assert!(!status.success());
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(stderr[0].contains(said), "{stderr:?}");
    };
    let local = "127.0.0.1:0";
    one_line(receiver(&[local, "0"]), "1 to 1048576 bytes");
    one_line(receiver(&[local, "1048577"]), "1 to 1048576 bytes");
    one_line(receiver(&[local, "all"]), "all as a size of the buffer");
    one_line(receiver(&[local, "9", "loud"]), "loud is not prompt");
    let mut listening = receiver(&[local]);
    let addr = listening.address();
    one_line(sender(addr, &["off"]), "off is neither nagle nor nodelay");
    one_line(many(addr, &["fast"]), "fast is not nagle");
    one_line(many(addr, &["nagle", "x"]), "x as a number");
    let huge = ["nagle", "1", "1048577"];
    one_line(many(addr, &huge), "at most 1048576 bytes");
}

#[test]
fn without_a_receiver_the_senders_name_the_address_and_the_cause() {
    // Bound but not listening: nobody else can take the port, and nobody answers.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    for program in [sender(addr, &[]), many(addr, &[])] {
        let (status, stdout, stderr) = program.finish();
        assert!(!status.success());
        assert_eq!(stdout, [] as [&str; 0]);
        assert_eq!(stderr.len(), 1, "{stderr:?}");
        assert!(
            stderr[0].contains(&format!(": connect to {addr}: ")),
            "{stderr:?}"
        );
    }
}

#[test]
fn a_taken_port_is_named_with_its_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (status, stdout, stderr) = receiver(&[&addr.to_string()]).finish();
    assert!(!status.success());
    assert_eq!(stdout, [] as [&str; 0]);
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert!(
        stderr[0].starts_with(&format!("sticky-receiver: bind {addr}: ")),
        "{stderr:?}"
    );
}

#[test]
fn the_messages_of_the_python_sender_are_read_as_one() {
    let Some(mut python) = python("python/sticky-sender.py") else {
        return;
    };
    let (mut receiver, mut enter) = late_receiver("1024");
    let addr = receiver.address();
    let sender = Program::start(
        python.args([addr.ip().to_string(), addr.port().to_string()]),
    );
    assert!(sender.finish().0.success());
    all_arrived(addr);
    assert_eq!(receiver.log(), "busy; press Enter");
    writeln!(enter).unwrap();
    assert_eq!(receiver.log(), r#"read "left 10right 5""#);
}

#[test]
fn the_python_receiver_reads_two_messages_as_one() {
    let Some(mut python) = python("python/sticky-receiver.py") else {
        return;
    };
    let (input, mut enter) = io::pipe().unwrap();
    let mut receiver =
        Program::start(python.args(["127.0.0.1", "0"]).stdin(input));
    let addr = receiver.address();
    let steps = ["nodelay", "left 10", "right 5"];
    assert!(sender(addr, &steps).finish().0.success());
    all_arrived(addr);
    assert_eq!(receiver.line(), "busy; press Enter");
    writeln!(enter).unwrap();
    assert_eq!(receiver.line(), "read b'left 10right 5'");
    assert!(receiver.finish().0.success());
}
