//! What runs on the hosts of the tests' scenes.

use std::io::{BufRead, Read, Write, copy, stdin, stdout};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

pub fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // Prints the first bytes of every datagram.
        ["receive", addr] => receive(&UdpSocket::bind(addr).expect("bind")),
        // The same, in a group.
        ["join", addr, group, interface] => {
            let socket = UdpSocket::bind(addr).expect("bind");
            socket
                .join_multicast_v4(
                    &group.parse().expect("a group"),
                    &interface.parse().expect("an address"),
                )
                .expect("join");
            receive(&socket)
        }
        // Sends numbered datagrams of one size, all at once.
        ["send", addr, count, size] => {
            let any = if addr.starts_with('[') {
                "[::]:0"
            } else {
                "0.0.0.0:0"
            };
            let socket = UdpSocket::bind(any).expect("bind");
            socket.set_broadcast(true).expect("allow broadcast");
            let size: usize = size.parse().expect("a size");
            for number in 1..=count.parse::<u32>().expect("a count") {
                let payload = format!("{number:<size$}");
                socket.send_to(payload.as_bytes(), addr).expect("send");
            }
        }
        // From an address, and so through its interface.
        ["tell", from, group] => {
            let socket = UdpSocket::bind(from).expect("bind");
            socket.send_to(b"1", group).expect("send");
        }
        ["bind", addr] => match TcpListener::bind(addr) {
            Ok(_) => println!("bound"),
            Err(error) => println!("{:?}", error.kind()),
        },
        // Each closes at once; the one that connected waits for the other.
        ["accept", addr] => {
            let listener = TcpListener::bind(addr).expect("bind");
            drop(listener.accept().expect("accept"));
            println!("closed");
        }
        ["connect", addr] => {
            let mut stream = TcpStream::connect(addr).expect("connect");
            let count = stream.read(&mut [0]).expect("read");
            println!("read {count}");
        }
        // A thread reads from who comes, and the first one waits for it.
        ["thread", addr] => {
            let listener = TcpListener::bind(addr).expect("bind");
            let (mut stream, _) = listener.accept().expect("accept");
            let read = move || stream.read(&mut [0]).expect("read");
            let reader = thread::Builder::new()
                .name("reader".to_string())
                .spawn(read);
            let _ = reader.expect("start a thread").join();
        }
        // Connects, and closes when its input ends.
        ["hold", addr] => {
            let stream = TcpStream::connect(addr).expect("connect");
            for line in stdin().lock().lines() {
                line.expect("a line");
            }
            drop(stream);
        }
        // Connects, sends what it is told, and closes when its input ends.
        ["say", addr] => {
            let mut stream = TcpStream::connect(addr).expect("connect");
            copy(&mut stdin(), &mut stream).expect("send");
        }
        ["listen", addr] => {
            let _listener = TcpListener::bind(addr).expect("bind");
            loop {
                thread::park();
            }
        }
        ["copy"] => {
            for line in stdin().lock().lines() {
                println!("{}", line.expect("a line"));
            }
            println!("end");
        }
        // Waits, with a child that waits too.
        ["wait", mark] => {
            println!("waiting");
            stdout().flush().expect("flush");
            let mut child = Command::new("sh").args(["-c", "sleep 60; :", mark]).spawn();
            if child.is_err() {
                return ExitCode::FAILURE;
            }
            let _ = child.as_mut().map(|child| child.wait());
            thread::sleep(Duration::from_secs(60));
        }
        ["fail"] => {
            eprintln!("no luck");
            return ExitCode::FAILURE;
        }
        _ => panic!("peer {words:?}"),
    }
    ExitCode::SUCCESS
}

fn receive(socket: &UdpSocket) -> ! {
    let mut buffer = [0; 2000];
    loop {
        let (count, peer) = socket.recv_from(&mut buffer).expect("receive");
        let text = String::from_utf8_lossy(&buffer[..count.min(4)]);
        println!("{} from {}", text.trim_end(), peer.ip());
    }
}
