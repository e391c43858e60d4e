//! What a decoder must do, told in the plainest way: with all bytes at hand, a copy for each frame, and no
//! thought of speed. The property tests and the fuzz targets compare the real one with it.

#![allow(dead_code)] // each user needs a part

use frames::{Decoder, FrameError, Framing, READ};

/// The frames before the first error or the end of the stream, and how it ended.
pub type Outcome = (Vec<Vec<u8>>, Result<(), FrameError>);

/// Cuts the whole stream at once.
pub fn model(framing: Framing, limit: usize, stream: &[u8]) -> Outcome {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        match first(framing, limit, rest) {
            Ok(Some((frame, after))) => {
                frames.push(frame);
                rest = after;
            }
            Ok(None) if rest.is_empty() => return (frames, Ok(())),
            Ok(None) => {
                let bytes = rest.len();
                return (frames, Err(FrameError::Truncated { bytes }));
            }
            Err(error) => return (frames, Err(error)),
        }
    }
}

type First<'a> = Option<(Vec<u8>, &'a [u8])>;

fn first(
    framing: Framing,
    limit: usize,
    rest: &[u8],
) -> Result<First<'_>, FrameError> {
    let (prefix, length) = match framing {
        Framing::Fixed(size) => (0, size.get()),
        Framing::U16 if rest.len() < 2 => return Ok(None),
        Framing::U16 => (2, usize::from(rest[0]) * 256 + usize::from(rest[1])),
        Framing::U32 if rest.len() < 4 => return Ok(None),
        Framing::U32 => (
            4,
            rest[..4]
                .iter()
                .fold(0, |sum, &byte| sum * 256 + usize::from(byte)),
        ),
        Framing::Lines | Framing::Escaped => {
            let line: Vec<u8> = rest
                .iter()
                .copied()
                .take_while(|&byte| byte != b'\n')
                .collect();
            if line.len() > limit {
                let length = limit + 1;
                return Err(FrameError::TooLong { length, limit });
            }
            if line.len() == rest.len() {
                return Ok(None);
            }
            let after = &rest[line.len() + 1..];
            let payload = if framing == Framing::Escaped {
                plain(&line)?
            } else {
                line
            };
            return Ok(Some((payload, after)));
        }
    };
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    if rest.len() < prefix + length {
        return Ok(None);
    }
    let (frame, after) = rest[prefix..].split_at(length);
    Ok(Some((frame.to_vec(), after)))
}

fn plain(line: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut payload = Vec::new();
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        payload.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'\\') => b'\\',
                other => {
                    let byte = other.unwrap_or(b'\n');
                    return Err(FrameError::BadEscape { byte });
                }
            },
            byte => byte,
        });
    }
    Ok(payload)
}

/// Feeds the real decoder, with pieces of the given sizes, in turn and again from the first. A piece is
/// read into the decoder's space if its size is odd, and pushed otherwise.
pub fn real(
    framing: Framing,
    limit: usize,
    stream: &[u8],
    pieces: &[usize],
) -> Outcome {
    let mut decoder = Decoder::new(framing, limit);
    let mut frames = Vec::new();
    let mut rest = stream;
    let mut sizes = pieces.iter().cycle();
    // Some framings can fail before the first byte.
    let mut outcome = drain(&mut decoder, &mut frames);
    while outcome.is_ok() && !rest.is_empty() {
        let size = sizes.next().map_or(usize::MAX, |&size| size.max(1));
        let piece = &rest[..size.min(rest.len())];
        let n = if size % 2 == 1 {
            let space = decoder.space();
            assert!(
                space.len() >= READ / 2,
                "only {} bytes of space",
                space.len()
            );
            let n = piece.len().min(space.len());
            space[..n].copy_from_slice(&piece[..n]);
            decoder.filled(n);
            n
        } else {
            decoder.push(piece)
        };
        assert!(n > 0, "no progress");
        rest = &rest[n..];
        outcome = drain(&mut decoder, &mut frames);
    }
    if outcome.is_err() {
        assert_eq!(
            decoder.next_frame(),
            outcome.map(|()| None),
            "the error stays"
        );
        assert_eq!(decoder.finish(), outcome, "the error stays");
    }
    (frames, decoder.finish())
}

fn drain(
    decoder: &mut Decoder,
    frames: &mut Vec<Vec<u8>>,
) -> Result<(), FrameError> {
    while let Some(frame) = decoder.next_frame()? {
        frames.push(frame.to_vec());
    }
    Ok(())
}

/// What a fuzz target does with one input: the first bytes choose the limit and the pieces, the others
/// are the stream. Without a framing of its own, `fixed` takes the size from there too.
pub fn check(framing: Option<Framing>, input: &[u8]) {
    let Some((choice, stream)) = input.split_at_checked(4) else {
        return;
    };
    let framing = framing.unwrap_or_else(|| {
        let size = format!("fixed{}", choice[3] % 32 + 1);
        size.parse().expect("a size that is not 0")
    });
    let limit = match choice[0] {
        small @ 0..=191 => usize::from(small),
        large => usize::from(large) << 9,
    };
    let pieces = [choice[1].into(), usize::from(choice[2]) * 7 + 1];
    let expected = model(framing, limit, stream);
    assert_eq!(real(framing, limit, stream, &pieces), expected);

    // What came out goes in again, and comes out the same.
    let mut again = Vec::new();
    for frame in &expected.0 {
        framing
            .encode(frame, &mut again)
            .expect("it came from a frame");
    }
    assert_eq!(model(framing, usize::MAX, &again), (expected.0, Ok(())));
}
