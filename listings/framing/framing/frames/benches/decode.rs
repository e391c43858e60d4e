//! The decoder beside `LengthDelimitedCodec` of tokio-util, which decodes the same bytes.
//!
//! ```text
//! cargo bench -p frames
//! ```

use bytes::BytesMut;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use frames::{Decoder, Framing};
use tokio_util::codec::{Decoder as _, LengthDelimitedCodec};

/// The bytes of a frame, without its prefix.
const SIZES: [usize; 2] = [64, 64 * 1024];

/// What is decoded, in bytes, more or less.
const STREAM: usize = 8 << 20;

/// How many bytes arrive at once: what tokio's `FramedRead` asks for at first.
const PIECE: usize = 8 * 1024;

const LIMIT: usize = 1 << 20;

fn main() {
    divan::main();
}

fn stream(size: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..STREAM / size {
        Framing::U32.encode(&vec![7; size], &mut stream).unwrap();
    }
    stream
}

/// Pieces of 8 KiB, each copied in: what a socket costs both of them.
#[divan::bench(args = SIZES)]
fn decoder(bencher: Bencher, size: usize) {
    let stream = stream(size);
    bencher.counter(BytesCount::new(stream.len())).bench(|| {
        let mut decoder = Decoder::new(Framing::U32, LIMIT);
        let mut frames = 0;
        for mut piece in stream.chunks(PIECE) {
            while !piece.is_empty() {
                let n = decoder.push(piece);
                piece = &piece[n..];
                while let Some(frame) = decoder.next_frame().unwrap() {
                    black_box(frame);
                    frames += 1;
                }
            }
        }
        assert_eq!(frames, STREAM / size);
    });
}

#[divan::bench(args = SIZES)]
fn length_delimited_codec(bencher: Bencher, size: usize) {
    let stream = stream(size);
    bencher.counter(BytesCount::new(stream.len())).bench(|| {
        let mut codec = LengthDelimitedCodec::builder()
            .max_frame_length(LIMIT)
            .new_codec();
        let mut buffer = BytesMut::with_capacity(PIECE);
        let mut frames = 0;
        for piece in stream.chunks(PIECE) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                black_box(&frame[..]);
                frames += 1;
            }
        }
        assert_eq!(frames, STREAM / size);
    });
}
