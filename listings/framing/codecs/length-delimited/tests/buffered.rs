//! `BufWriter` of tokio is not flushed when it is dropped, that of `std` is.

use std::future::Future;
use std::io::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};
use tokio::runtime;

fn run<T>(task: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(task)
}

#[test]
fn what_was_not_flushed_is_lost() {
    run(async {
        let (ours, mut theirs) = duplex(100);
        let mut writer = BufWriter::new(ours);
        writer.write_all(b"hello").await.unwrap();
        drop(writer);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"");
    });
}

#[test]
fn what_was_flushed_arrives() {
    run(async {
        let (ours, mut theirs) = duplex(100);
        let mut writer = BufWriter::new(ours);
        writer.write_all(b"hello").await.unwrap();
        writer.flush().await.unwrap();
        drop(writer);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"hello");
    });
}

#[test]
fn the_one_of_std_writes_when_it_is_dropped() {
    let mut received = Vec::new();
    let mut writer = std::io::BufWriter::new(&mut received);
    writer.write_all(b"hello").unwrap();
    drop(writer);
    assert_eq!(received, b"hello");
}
