//! The decoder against every way in which a stream can reach it.

mod model;

use frames::{Decoder, EncodeError, FrameError, Framing, READ};
use model::{Outcome, real};

const LIMIT: usize = 64;

fn framings() -> [Framing; 5] {
    ["fixed5", "lines", "escaped", "u16", "u32"]
        .map(|name| name.parse().unwrap())
}

/// Payloads that this framing can carry. With a fixed size, all have it.
fn payloads(framing: Framing) -> Vec<Vec<u8>> {
    match framing {
        Framing::Fixed(_) => vec![
            b"hello".to_vec(),
            b"\0\n\\\xff\0".to_vec(),
            b"wires".to_vec(),
        ],
        Framing::Lines => {
            vec![b"hello".to_vec(), b"".to_vec(), b"\0\\n\xff\r".to_vec()]
        }
        _ => vec![
            b"hello".to_vec(),
            b"".to_vec(),
            b"a\nb\\n\\\\\xff\n".to_vec(),
            b"\n".to_vec(),
        ],
    }
}

fn encoded(framing: Framing, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for payload in payloads {
        framing.encode(payload, &mut stream).unwrap();
    }
    stream
}

fn whole(framing: Framing, limit: usize, stream: &[u8]) -> Outcome {
    real(framing, limit, stream, &[])
}

#[test]
fn frames_come_out_as_they_went_in_whatever_the_split() {
    for framing in framings() {
        let payloads = payloads(framing);
        let stream = encoded(framing, &payloads);
        let expected = (payloads, Ok(()));
        // Every way to cut the stream into three pieces, some of them empty.
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut decoder = Decoder::new(framing, LIMIT);
                let mut frames = Vec::new();
                for piece in [
                    &stream[..first],
                    &stream[first..second],
                    &stream[second..],
                ] {
                    assert_eq!(decoder.push(piece), piece.len());
                    while let Some(frame) = decoder.next_frame().unwrap() {
                        frames.push(frame.to_vec());
                    }
                }
                let outcome = (frames, decoder.finish());
                assert_eq!(
                    outcome, expected,
                    "{framing:?} cut at {first}, {second}"
                );
            }
        }
    }
}

#[test]
fn a_byte_at_a_time_is_enough() {
    for framing in framings() {
        let payloads = payloads(framing);
        let stream = encoded(framing, &payloads);
        assert_eq!(
            real(framing, LIMIT, &stream, &[1]),
            (payloads, Ok(())),
            "{framing:?}"
        );
    }
}

#[test]
fn a_frame_comes_out_with_its_last_byte_and_not_before() {
    for framing in framings() {
        let payloads = payloads(framing);
        let mut decoder = Decoder::new(framing, LIMIT);
        for payload in &payloads {
            let stream = encoded(framing, std::slice::from_ref(payload));
            let (last, others) = stream.split_last().unwrap();
            for &byte in others {
                assert_eq!(decoder.push(&[byte]), 1);
                assert_eq!(decoder.next_frame(), Ok(None), "{framing:?}");
            }
            assert_eq!(decoder.push(&[*last]), 1);
            assert_eq!(
                decoder.next_frame(),
                Ok(Some(&payload[..])),
                "{framing:?}"
            );
            assert_eq!(decoder.next_frame(), Ok(None), "{framing:?}");
        }
    }
}

#[test]
fn a_stream_that_ends_between_frames_is_complete_and_elsewhere_it_is_not() {
    for framing in framings() {
        let payloads = payloads(framing);
        let stream = encoded(framing, &payloads);
        let mut borders = vec![0];
        for count in 1..=payloads.len() {
            borders.push(encoded(framing, &payloads[..count]).len());
        }
        for end in 0..=stream.len() {
            let before =
                borders.iter().filter(|&&border| border <= end).count() - 1;
            let bytes = end - borders[before];
            let (frames, outcome) = whole(framing, LIMIT, &stream[..end]);
            assert_eq!(
                frames,
                payloads[..before],
                "{framing:?} ended at {end}"
            );
            let expected = match bytes {
                0 => Ok(()),
                bytes => Err(FrameError::Truncated { bytes }),
            };
            assert_eq!(outcome, expected, "{framing:?} ended at {end}");
        }
    }
}

#[test]
fn a_frame_may_be_as_long_as_the_limit_and_no_longer() {
    for framing in
        [Framing::Lines, Framing::Escaped, Framing::U16, Framing::U32]
    {
        for limit in [0, 1, 2, LIMIT, READ - 1, READ, READ + 1, 3 * READ] {
            for length in [0, 1, limit.saturating_sub(1), limit, limit + 1] {
                let payload = vec![b'x'; length];
                let stream = encoded(framing, std::slice::from_ref(&payload));
                let expected = if length > limit {
                    (vec![], Err(FrameError::TooLong { length, limit }))
                } else {
                    (vec![payload], Ok(()))
                };
                for pieces in [
                    &[][..],
                    &[1, 2, 3],
                    &[limit + 1],
                    &[limit + 2],
                    &[READ - 1],
                ] {
                    let outcome = real(framing, limit, &stream, pieces);
                    assert!(
                        outcome == expected,
                        "{framing:?}, {length} of {limit}, {pieces:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_fixed_size_may_be_as_large_as_the_limit_and_no_larger() {
    let framing: Framing = "fixed5".parse().unwrap();
    assert_eq!(
        whole(framing, 5, b"hello"),
        (vec![b"hello".to_vec()], Ok(()))
    );
    let error = FrameError::TooLong {
        length: 5,
        limit: 4,
    };
    assert_eq!(whole(framing, 4, b"hello"), (vec![], Err(error)));
}

#[test]
fn the_largest_length_of_a_prefix_is_refused_as_soon_as_it_is_there() {
    for (framing, prefix, length) in [
        (Framing::U16, &[0xff; 2][..], 0xffff),
        (Framing::U32, &[0xff; 4], 0xffff_ffff),
    ] {
        let mut decoder = Decoder::new(framing, LIMIT);
        for &byte in prefix {
            assert_eq!(decoder.next_frame(), Ok(None));
            assert_eq!(decoder.push(&[byte]), 1);
        }
        let error = FrameError::TooLong {
            length,
            limit: LIMIT,
        };
        assert_eq!(decoder.next_frame(), Err(error));
    }
}

#[test]
fn the_largest_length_of_a_prefix_is_taken_if_the_limit_allows_it() {
    let payload = vec![7; usize::from(u16::MAX)];
    let stream = encoded(Framing::U16, std::slice::from_ref(&payload));
    let outcome = real(Framing::U16, usize::MAX, &stream, &[4096]);
    assert!(outcome == (vec![payload], Ok(())));

    let mut decoder = Decoder::new(Framing::U32, usize::MAX);
    assert_eq!(decoder.push(&[0xff; 4]), 4);
    assert_eq!(decoder.next_frame(), Ok(None));
    assert_eq!(decoder.finish(), Err(FrameError::Truncated { bytes: 4 }));
}

#[test]
fn frames_before_an_error_are_still_given() {
    let stream = b"one\ntwo\nthree\n";
    let expected = vec![b"one".to_vec(), b"two".to_vec()];
    let error = FrameError::TooLong {
        length: 4,
        limit: 3,
    };
    assert_eq!(whole(Framing::Lines, 3, stream), (expected, Err(error)));
}

#[test]
fn a_bad_escape_is_an_error_that_stays() {
    for (stream, byte) in
        [(&b"a\\tb\nnext\n"[..], b't'), (b"ab\\\nnext\n", b'\n')]
    {
        let error = FrameError::BadEscape { byte };
        for pieces in [&[][..], &[1]] {
            let outcome = real(Framing::Escaped, LIMIT, stream, pieces);
            assert_eq!(outcome, (vec![], Err(error)));
        }
    }
}

#[test]
fn what_a_framing_can_t_carry_is_not_sent() {
    let mut out = b"before".to_vec();
    let long = vec![0; usize::from(u16::MAX) + 1];
    for (framing, payload, error) in [
        (
            "fixed5",
            &b"four"[..],
            EncodeError::WrongSize { length: 4, size: 5 },
        ),
        (
            "fixed5",
            b"sixsix",
            EncodeError::WrongSize { length: 6, size: 5 },
        ),
        ("lines", b"one\ntwo", EncodeError::Newline { at: 3 }),
        (
            "u16",
            &long,
            EncodeError::TooLong {
                length: 65536,
                most: 65535,
            },
        ),
    ] {
        let framing: Framing = framing.parse().unwrap();
        assert_eq!(framing.encode(payload, &mut out), Err(error));
        assert_eq!(out, b"before");
    }
}

/// Only where a length can be beyond four bytes, and without touching that much memory.
#[cfg(all(target_pointer_width = "64", target_os = "linux"))]
#[test]
fn four_gigabytes_don_t_fit_the_larger_prefix() {
    let length = 1 << 32;
    // Pages of zeros that nobody reads are no pages.
    let payload = vec![0; length];
    let mut out = Vec::new();
    let error = EncodeError::TooLong {
        length,
        most: length - 1,
    };
    assert_eq!(Framing::U32.encode(&payload, &mut out), Err(error));
    assert!(out.is_empty());
}

#[test]
fn the_numbers_on_the_wire_are_big_endian() {
    let mut out = Vec::new();
    Framing::U16.encode(&[9; 258], &mut out).unwrap();
    assert_eq!(out[..2], [1, 2]);
    out.clear();
    Framing::U32.encode(&vec![9; 0x01_02_03], &mut out).unwrap();
    assert_eq!(out[..4], [0, 1, 2, 3]);
}

#[test]
fn space_is_never_empty_while_frames_are_taken() {
    for framing in [Framing::Lines, Framing::Escaped, Framing::U32] {
        for limit in [0, 1, LIMIT, 5 * READ] {
            let payload = vec![b'x'; limit];
            let stream = encoded(framing, &vec![payload.clone(); 9]);
            // An odd size goes through `space`, and `real` asserts how much there is.
            for pieces in [&[READ - 1][..], &[limit + 1, 1], &[limit + 5, 3]] {
                let (frames, outcome) = real(framing, limit, &stream, pieces);
                assert_eq!(outcome, Ok(()));
                assert!(
                    frames.len() == 9
                        && frames.iter().all(|frame| *frame == payload)
                );
            }
        }
    }
}

#[test]
fn frames_that_are_not_taken_fill_the_room_and_nothing_is_lost() {
    let mut decoder = Decoder::new(Framing::Lines, 1);
    let stream = b"x\n".repeat(READ);
    let mut taken = 0;
    loop {
        match decoder.push(&stream[taken..]) {
            0 => break,
            n => taken += n,
        }
    }
    assert!(taken >= READ && taken < stream.len(), "{taken}");
    assert!(decoder.space().is_empty());
    let mut count = 0;
    while let Some(frame) = decoder.next_frame().unwrap() {
        assert_eq!(frame, b"x");
        count += 1;
    }
    assert_eq!(count, taken / 2);
    assert!(!decoder.space().is_empty());
}

#[test]
#[should_panic(expected = "more than the space")]
fn more_than_the_space_can_t_have_arrived() {
    let mut decoder = Decoder::new(Framing::Lines, 1);
    let most = decoder.space().len();
    decoder.filled(most + 1);
}

#[test]
fn a_framing_is_found_by_its_name() {
    assert_eq!("u16".parse(), Ok(Framing::U16));
    for wrong in ["", "fixed", "fixed0", "fixed-1", "fixedx", "U16", "line"] {
        assert!(wrong.parse::<Framing>().is_err(), "{wrong}");
    }
}

#[test]
fn errors_say_what_happened() {
    for (error, words) in [
        (
            FrameError::TooLong {
                length: 9,
                limit: 4,
            },
            "a frame of 9 bytes, and the limit is 4",
        ),
        (
            FrameError::Truncated { bytes: 3 },
            "the stream ended after 3 bytes of a frame",
        ),
        (
            FrameError::BadEscape { byte: b't' },
            "a backslash before the byte 0x74",
        ),
    ] {
        assert_eq!(error.to_string(), words);
    }
}
