use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Without it, the first half of this program would never end.
const PATIENCE: Duration = Duration::from_secs(1);

// ANCHOR: main
fn main() -> Result<()> {
    let (client, server) = pair()?;
    client.set_read_timeout(Some(PATIENCE))?;
    server.set_read_timeout(Some(2 * PATIENCE))?;
    thread::scope(|scope| {
        scope.spawn(|| echo(&server));
        with_a_lock(&Mutex::new(client))
    })?;

    let (client, server) = pair()?;
    client.set_read_timeout(Some(PATIENCE))?;
    server.set_read_timeout(Some(2 * PATIENCE))?;
    thread::scope(|scope| {
        scope.spawn(|| echo(&server));
        without(client)
    })?;
    Ok(())
}

/// The mistake: the reader keeps the lock while it waits for the reply, and
/// the writer needs the lock to ask for it.
fn with_a_lock(stream: &Mutex<TcpStream>) -> io::Result<()> {
    let lock = || stream.lock().unwrap_or_else(PoisonError::into_inner);
    let (locked, has_locked) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut stream = lock();
            let _ = locked.send(());
            match stream.read(&mut [0; 80]) {
                Ok(n) => println!("lock: a reply of {n} bytes"),
                Err(error) => println!("lock: no reply, {:?}", error.kind()),
            }
        });
        let _ = has_locked.recv();
        println!("lock: the writer is free: {}", stream.try_lock().is_ok());
        lock().write_all(b"Hello")?;
        println!("lock: the writer has written at last");
        Ok(())
    })
}

/// The cure: no lock. A shared reference is enough to read and to write.
fn without(stream: TcpStream) -> io::Result<()> {
    thread::scope(|scope| {
        scope.spawn(|| match (&stream).read(&mut [0; 80]) {
            Ok(n) => println!("no lock: a reply of {n} bytes"),
            Err(error) => println!("no lock: no reply, {:?}", error.kind()),
        });
        (&stream).write_all(b"Hello")
    })
}
// ANCHOR_END: main

/// Sends back what arrives, once.
fn echo(mut stream: &TcpStream) {
    let mut buffer = [0; 80];
    if let Ok(n) = stream.read(&mut buffer) {
        // Where the client has gone by now, nobody needs the answer.
        let _ = stream.write_all(&buffer[..n]);
    }
}

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}
