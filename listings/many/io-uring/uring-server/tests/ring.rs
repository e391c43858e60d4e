//! The rules of the ring itself.
#![cfg(target_os = "linux")]

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};

use uring_server::ring::{Buffer, Event, Refusal, Ring};

fn ring() -> Option<Ring> {
    match Ring::new() {
        Ok(ring) => Some(ring),
        Err(Refusal::Forbidden(error, why)) => {
            assert!(std::env::var_os("CI").is_none(), "{error}: {why}");
            eprintln!("skipped: no io_uring here: {error}: {why}");
            None
        }
        Err(Refusal::Failed(error)) => panic!("{error}"),
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

// ANCHOR: empty
#[test]
fn an_empty_pool_is_an_error_and_asking_again_gets_the_bytes() {
    let Some(mut ring) = ring() else { return };
    // 800 datagrams wait, and the pool has 128 buffers.
    let sockets: Vec<UdpSocket> = (0..10)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for socket in &sockets {
        let addr = socket.local_addr().unwrap();
        for _ in 0..80 {
            socket.send_to(b"hello", addr).unwrap();
        }
    }
    let mut asked = [0; 10];
    let (mut received, mut empty) = (0, 0);
    let mut events = Vec::new();
    while received < 800 {
        for (key, socket) in sockets.iter().enumerate() {
            for _ in asked[key]..80 {
                ring.receive_now(socket, key as u32);
            }
            asked[key] = 80;
        }
        ring.wait(&mut events).unwrap();
        for event in events.drain(..) {
            let Event::Received { key, result, .. } = event else {
                panic!("nothing else was asked for");
            };
            match result {
                Ok(buffer) => {
                    assert_eq!(&*buffer, b"hello");
                    received += 1; // and `buffer` is kept from the pool
                }
                Err(error) => {
                    let code = error.raw_os_error();
                    empty += usize::from(code == Some(libc::ENOBUFS));
                    asked[key as usize] -= 1;
                }
            }
        }
    }
    assert!(empty >= 800 - 128, "{empty}");
}
// ANCHOR_END: empty

#[test]
fn what_is_being_sent_belongs_to_the_ring_until_it_is_sent() {
    let Some(mut ring) = ring() else { return };
    let (mut client, server) = pair();
    ring.send(&server, 3, Buffer::from(b"hello".to_vec()));
    let mut events = Vec::new();
    ring.wait(&mut events).unwrap();
    let Some(Event::Sent {
        key,
        result,
        buffer,
    }) = events.pop()
    else {
        panic!("expected Sent");
    };
    assert_eq!((key, result.unwrap()), (3, 5));
    assert_eq!(&*buffer, b"hello");
    let mut reply = [0; 5];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"hello");
}

#[test]
#[should_panic(expected = "one at a time")]
fn a_second_send_of_one_key_is_refused() {
    let Some(mut ring) = ring() else {
        panic!("one at a time")
    };
    let (_client, server) = pair();
    ring.send(&server, 0, Buffer::from(b"first".to_vec()));
    ring.send(&server, 0, Buffer::from(b"second".to_vec()));
}

#[test]
fn more_requests_than_fit_are_all_made() {
    let Some(mut ring) = ring() else { return };
    let pairs: Vec<_> = (0..200).map(|_| pair()).collect();
    // Sixteen thousand requests that need no descriptor of their own.
    for _ in 0..16_000 {
        ring.cancel_receive(999);
    }
    for (key, (_, server)) in pairs.iter().enumerate() {
        let bytes = (key as u32).to_be_bytes().to_vec();
        ring.send(server, key as u32, Buffer::from(bytes));
    }
    let mut events = Vec::new();
    let mut sent = 0;
    while sent < pairs.len() {
        ring.wait(&mut events).unwrap();
        sent += events.drain(..).count();
    }
    for (key, (mut client, _)) in pairs.into_iter().enumerate() {
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(u32::from_be_bytes(bytes), key as u32);
    }
}
