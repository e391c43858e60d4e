//! An echo server that breaks the contract in the way that it is told, so that
//! the tests see each case fail.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let addr = args.first().map_or("127.0.0.1:0", String::as_str);
    let limit = args.get(1).and_then(|limit| limit.parse().ok());
    let limit: usize = limit.unwrap_or(2000);
    let mistake = args.get(2).cloned().unwrap_or_default();
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    if mistake == "busy" {
        thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    let open = Arc::new((Mutex::new(0), Condvar::new()));
    loop {
        if mistake != "unlimited" {
            let (count, left) = &*open;
            let count = count.lock().unwrap_or_else(PoisonError::into_inner);
            drop(left.wait_while(count, |count| *count >= limit));
        }
        let Ok((stream, _)) = listener.accept() else {
            if mistake != "spins" {
                thread::sleep(Duration::from_millis(100));
            }
            continue;
        };
        if mistake == "one" {
            echo(stream, &mistake);
            continue;
        }
        let open = Arc::clone(&open);
        let mistake = mistake.clone();
        add(&open.0, 1);
        thread::spawn(move || {
            echo(stream, &mistake);
            add(&open.0, -1);
            open.1.notify_one();
        });
    }
}

fn add(count: &Mutex<usize>, change: isize) {
    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
    *count = count.saturating_add_signed(change);
}

fn echo(mut stream: TcpStream, mistake: &str) {
    let mut buffer = [0; 4096];
    let (sender, hoard) = mpsc::channel::<Vec<u8>>();
    if mistake == "hoards" {
        let Ok(mut stream) = stream.try_clone() else {
            return;
        };
        thread::spawn(move || {
            for bytes in hoard {
                let _ = stream.write_all(&bytes);
            }
        });
    }
    loop {
        match stream.read(&mut buffer) {
            Err(_) if mistake == "dies" => process::exit(1),
            Ok(0) if mistake == "cuts" => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Ok(0) | Err(_) if mistake == "leaks" => {
                std::mem::forget(stream);
                return;
            }
            Ok(0) | Err(_) => return,
            Ok(n) if mistake == "hoards" => {
                let _ = sender.send(buffer[..n].to_vec());
            }
            Ok(n) => {
                if mistake == "swaps" && n % 2 == 0 {
                    buffer.swap(0, 1);
                }
                if stream.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        }
    }
}
