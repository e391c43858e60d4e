//! What `LengthDelimitedCodec` and `Framed` do with bytes, without a socket.

use std::future::Future;
use std::io::ErrorKind;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime;
use tokio_util::codec::{
    Decoder, Encoder, FramedRead, FramedWrite, LengthDelimitedCodec,
};

fn run<T>(task: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(task)
}

#[test]
fn without_a_limit_of_ours_it_takes_eight_mebibytes_and_not_one_byte_more() {
    let mut codec = LengthDelimitedCodec::new();
    assert_eq!(codec.max_frame_length(), 8 * 1024 * 1024);
    let mut buffer = BytesMut::from(&[0, 0x80, 0, 0][..]);
    assert_eq!(codec.decode(&mut buffer).unwrap(), None);

    let mut codec = LengthDelimitedCodec::new();
    let mut buffer = BytesMut::from(&[0, 0x80, 0, 1][..]);
    let error = codec.decode(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "frame size too big");
}

#[test]
fn four_bytes_make_it_reserve_all_that_they_announce() {
    let mut codec = LengthDelimitedCodec::new();
    let mut buffer = BytesMut::from(&[0, 0x80, 0, 0][..]);
    assert_eq!(codec.decode(&mut buffer).unwrap(), None);
    assert!(buffer.is_empty());
    assert!(buffer.capacity() >= 8 * 1024 * 1024);
}

#[test]
fn the_limit_holds_for_what_is_sent_too() {
    let mut codec = LengthDelimitedCodec::builder()
        .max_frame_length(5)
        .new_codec();
    let mut buffer = BytesMut::new();
    let hello = Bytes::from_static(b"hello");
    codec.encode(hello, &mut buffer).unwrap();
    assert_eq!(buffer, b"\0\0\0\x05hello"[..]);
    let longer = Bytes::from_static(b"hello!");
    let error = codec.encode(longer, &mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(buffer, b"\0\0\0\x05hello"[..]);
}

#[test]
fn it_can_cut_messages_with_our_header_too() {
    // The length stands after four other bytes, and nothing is cut off.
    let mut codec = LengthDelimitedCodec::builder()
        .max_frame_length(64 * 1024)
        .length_field_offset(4)
        .length_field_length(4)
        .length_adjustment(8)
        .num_skip(0)
        .new_codec();
    let bytes = b"\x01\x01\0\0\0\0\0\x05hello\x01\x02\0\0\0\0\0\0";
    let mut buffer = BytesMut::from(&bytes[..]);
    let first = codec.decode(&mut buffer).unwrap().unwrap();
    assert_eq!(first, bytes[..13]);
    let second = codec.decode(&mut buffer).unwrap().unwrap();
    assert_eq!(second, bytes[13..]);
}

#[test]
fn any_split_gives_the_same_frames() {
    let bytes = b"\0\0\0\x03one\0\0\0\0\0\0\0\x05three";
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let mut codec = LengthDelimitedCodec::new();
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            let pieces =
                [&bytes[..first], &bytes[first..second], &bytes[second..]];
            for piece in pieces {
                buffer.extend_from_slice(piece);
                while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"one"[..], b"", b"three"]);
        }
    }
}

#[test]
fn the_end_inside_of_a_frame_is_an_error_if_bytes_of_it_are_left() {
    // A prefix that is not whole.
    let mut frames = FramedRead::new(&b"\0\0"[..], LengthDelimitedCodec::new());
    let error = run(frames.next()).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "bytes remaining on stream");
    // A payload that is not whole.
    let bytes = &b"\0\0\0\x05hell"[..];
    let mut frames = FramedRead::new(bytes, LengthDelimitedCodec::new());
    let error = run(frames.next()).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "bytes remaining on stream");
}

#[test]
fn the_end_between_prefix_and_payload_is_taken_for_a_clean_one() {
    let bytes = &b"\0\0\0\x05"[..];
    let mut frames = FramedRead::new(bytes, LengthDelimitedCodec::new());
    assert!(run(frames.next()).is_none());
}

#[test]
fn a_codec_that_leaves_the_prefix_in_place_notices_that_end_too() {
    let codec = LengthDelimitedCodec::builder()
        .length_adjustment(4)
        .num_skip(0)
        .new_codec();
    let bytes = b"\0\0\0\x05hello";
    for end in 0..=bytes.len() {
        let mut frames = FramedRead::new(&bytes[..end], codec.clone());
        match (end, run(frames.next())) {
            (0, None) => {}
            (9, Some(Ok(frame))) => assert_eq!(frame, bytes[..]),
            (1..=8, Some(Err(error))) => {
                assert_eq!(error.to_string(), "bytes remaining on stream");
            }
            (_, other) => panic!("after {end} bytes: {other:?}"),
        }
    }
}

#[test]
fn what_was_fed_and_not_flushed_is_lost() {
    run(async {
        let (ours, mut theirs) = duplex(100);
        let mut frames = FramedWrite::new(ours, LengthDelimitedCodec::new());
        frames.feed(Bytes::from("hello")).await.unwrap();
        drop(frames);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"");
    });
}

#[test]
fn what_was_sent_or_flushed_arrives() {
    run(async {
        let (ours, mut theirs) = duplex(100);
        let mut frames = FramedWrite::new(ours, LengthDelimitedCodec::new());
        frames.send(Bytes::from("one")).await.unwrap();
        frames.feed(Bytes::from("two")).await.unwrap();
        SinkExt::<Bytes>::flush(&mut frames).await.unwrap();
        drop(frames);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"\0\0\0\x03one\0\0\0\x03two");
    });
}

#[test]
fn a_frame_that_a_deadline_interrupted_is_not_lost() {
    run(async {
        let (mut theirs, ours) = duplex(100);
        let mut frames = FramedRead::new(ours, LengthDelimitedCodec::new());
        theirs.write_all(b"\0\0\0\x05he").await.unwrap();
        {
            // Asked once, has read six bytes, and is dropped.
            assert!(frames.next().now_or_never().is_none());
        }
        theirs.write_all(b"llo").await.unwrap();
        assert_eq!(frames.next().await.unwrap().unwrap(), b"hello"[..]);
    });
}

#[test]
fn after_an_error_the_stream_of_frames_ends() {
    let bytes = &b"\xff\xff\xff\xff\0\0\0\0"[..];
    let mut frames = FramedRead::new(bytes, LengthDelimitedCodec::new());
    assert!(run(frames.next()).unwrap().is_err());
    assert!(run(frames.next()).is_none());
}
