//! How much memory a peer can make a decoder use. This file counts every allocation.
//!
//! Counting takes an allocator of one's own, and that takes `unsafe`. It stays in this file; the library
//! forbids it. It is written here and not taken from a crate because it is thirty lines.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use frames::{Decoder, FrameError, Framing, READ};

struct Counting;

thread_local! {
    // Each test has its own thread, so it counts for itself.
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn count(freed: usize, taken: usize) {
    // What this thread frees may have been taken by another one.
    let now = NOW.get().saturating_sub(freed) + taken;
    NOW.set(now);
    PEAK.set(PEAK.get().max(now));
}

// Safety: every call is handed on to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        unsafe { System.dealloc(place, layout) }
    }

    // The system may have to hold both for a moment, while it copies.
    unsafe fn realloc(
        &self,
        place: *mut u8,
        layout: Layout,
        size: usize,
    ) -> *mut u8 {
        count(layout.size(), size);
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes that were in use at once during `work`, beyond those before it.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

/// Pushes all of it in pieces of `piece` bytes, and takes what comes out.
fn feed(
    decoder: &mut Decoder,
    stream: &[u8],
    piece: usize,
) -> Result<usize, FrameError> {
    let mut count = 0;
    for mut piece in stream.chunks(piece) {
        while !piece.is_empty() {
            let n = decoder.push(piece);
            assert!(n > 0, "no progress");
            piece = &piece[n..];
            while decoder.next_frame()?.is_some() {
                count += 1;
            }
        }
    }
    Ok(count)
}

#[test]
fn the_count_counts() {
    assert_eq!(peak(|| drop(vec![0_u8; 1000])), 1000);
    assert_eq!(peak(|| (0..9).for_each(|_| drop(vec![0_u8; 1000]))), 1000);
}

#[test]
fn a_new_decoder_has_allocated_nothing() {
    let peak = peak(|| drop(Decoder::new(Framing::U32, usize::MAX)));
    assert_eq!(peak, 0);
}

#[test]
fn a_hostile_length_costs_one_read_buffer() {
    for (limit, refused) in [(64 * 1024, true), (usize::MAX, false)] {
        let peak = peak(|| {
            let mut decoder = Decoder::new(Framing::U32, limit);
            let outcome = feed(&mut decoder, &[0xff; 4], 4);
            assert_eq!(outcome.is_err(), refused);
        });
        assert_eq!(peak, READ, "limit {limit}");
    }
}

#[test]
fn memory_follows_what_arrived_and_not_what_was_announced() {
    let stream = vec![0; 1 << 20];
    for arrived in [0, 1, READ / 2, READ, 100_000, 1 << 20] {
        let peak = peak(|| {
            let mut decoder = Decoder::new(Framing::U32, usize::MAX);
            feed(&mut decoder, &[0xff; 4], 4).unwrap();
            feed(&mut decoder, &stream[..arrived], 1000).unwrap();
        });
        assert!(
            peak <= 2 * (arrived + 4) + READ,
            "{arrived} bytes took {peak}"
        );
    }
}

#[test]
fn no_stream_takes_more_than_the_limit_and_a_read_buffer() {
    for limit in [0, 1, 63, 64, 1000, READ, 5 * READ + 1, 1 << 20] {
        let longest = vec![b'x'; limit];
        let too_long = vec![b'x'; limit + 1];
        for framing in [Framing::Lines, Framing::Escaped, Framing::U32] {
            for payload in [&longest, &too_long] {
                let mut stream = Vec::new();
                for _ in 0..5 {
                    framing.encode(b"", &mut stream).unwrap();
                    framing.encode(payload, &mut stream).unwrap();
                }
                for piece in [1000, READ - 1, usize::MAX] {
                    let mut outcome = Ok(0);
                    let peak = peak(|| {
                        let mut decoder = Decoder::new(framing, limit);
                        outcome = feed(&mut decoder, &stream, piece);
                    });
                    let length = payload.len();
                    let expected = if length > limit {
                        Err(FrameError::TooLong { length, limit })
                    } else {
                        Ok(10)
                    };
                    assert_eq!(outcome, expected);
                    let most = limit + 4 + READ;
                    assert!(
                        peak <= most,
                        "{framing:?}, {limit}, by {piece}: {peak} bytes"
                    );
                }
            }
        }
    }
}

#[test]
fn frames_that_are_not_taken_take_no_more_either() {
    let stream = vec![b'\n'; 1 << 20];
    for limit in [0, 1000, 5 * READ] {
        let peak = peak(|| {
            let mut decoder = Decoder::new(Framing::Lines, limit);
            let mut taken = 0;
            while let n @ 1.. = decoder.push(&stream[taken..]) {
                taken += n;
            }
        });
        assert!(peak <= limit + 4 + READ, "{limit}: {peak} bytes");
    }
}

#[test]
fn a_frame_is_handed_out_without_a_copy() {
    let mut decoder = Decoder::new(Framing::Escaped, 100);
    let mut stream = Vec::new();
    Framing::Escaped.encode(b"one\ntwo", &mut stream).unwrap();
    assert_eq!(decoder.push(&stream), stream.len());
    let peak = peak(|| {
        assert!(decoder.next_frame().unwrap().is_some());
    });
    assert_eq!(peak, 0);
}
