//! Cuts a stream of bytes into frames. It does no input or output itself, so
//! it serves blocking, non-blocking and async programs alike.
//!
//! This file needs nothing but the standard library. Copy it.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::num::{NonZeroUsize, ParseIntError};
use std::str::FromStr;

// ANCHOR: framing
/// How the stream says where a frame ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Every frame has this many bytes.
    Fixed(NonZeroUsize),
    /// A newline, the byte 0x0a, ends a frame. No payload may hold one.
    Lines,
    /// A newline ends a frame. In a payload, a newline is written as `\n`, a
    /// backslash and the letter, and a backslash as `\\`.
    Escaped,
    /// The length of the payload comes first, in two bytes, big-endian.
    U16,
    /// The length of the payload comes first, in four bytes, big-endian.
    U32,
}
// ANCHOR_END: framing

// ANCHOR: errors
/// Why a stream can't be cut into frames. There is no way to go on after it:
/// nobody knows where the next frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The frame is longer than the limit. `length` is what the peer
    /// announced, in bytes. A line announces nothing: then it is the limit
    /// and one, where the search for its end stopped.
    TooLong { length: usize, limit: usize },
    /// The stream ended inside of a frame, `bytes` after that frame's start.
    Truncated { bytes: usize },
    /// After a backslash stood this byte, neither `n` nor a backslash.
    BadEscape { byte: u8 },
}
// ANCHOR_END: errors

/// Why a payload can't be sent as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// All frames have `size` bytes, and this payload has `length`.
    WrongSize { length: usize, size: usize },
    /// The payload has `length` bytes; the prefix can say `most`.
    TooLong { length: usize, most: usize },
    /// The payload has a newline in it, `at` bytes after its start.
    Newline { at: usize },
}

// ANCHOR: decoder
/// How many bytes more than a frame the buffer of a [`Decoder`] can hold. A
/// read gets room for half as many at least.
pub const READ: usize = 16 * 1024;

/// Takes bytes in pieces of any size, and gives back whole frames.
///
/// Fill [`space`](Decoder::space) and say with [`filled`](Decoder::filled) how
/// much arrived, or [`push`](Decoder::push) a slice. Then take frames with
/// [`next_frame`](Decoder::next_frame) until there is none. At the end of the
/// stream, [`finish`](Decoder::finish) tells if a frame was cut off.
///
/// Its memory grows with what has arrived, never with what was announced, up
/// to the limit, the prefix or delimiter, and [`READ`].
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    limit: usize,
    buffer: Vec<u8>,
    /// What has arrived and is in no frame yet: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// So many bytes from `start` on hold no newline.
    searched: usize,
    failure: Option<FrameError>,
}
// ANCHOR_END: decoder

// ANCHOR: room
impl Decoder {
    /// `limit` is the most bytes that a frame may have on the wire, without
    /// its prefix or delimiter. Nothing is allocated yet.
    pub fn new(framing: Framing, limit: usize) -> Decoder {
        // No sum below can overflow: a `Vec` has `isize::MAX` bytes at most.
        let most = isize::MAX as usize - READ - PREFIX;
        Decoder {
            framing,
            limit: limit.min(most),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            failure: None,
        }
    }

    /// Room to read into. It has at least `READ / 2` bytes if the last call
    /// of [`next_frame`](Decoder::next_frame) returned `Ok(None)`. If whole
    /// frames were left inside, it can be empty.
    pub fn space(&mut self) -> &mut [u8] {
        // Few bytes are left of many: it costs little to begin again in front.
        if self.end - self.start <= self.start / 8 {
            self.move_to_front();
        }
        if self.buffer.len() - self.end < READ / 2 {
            self.make_room();
        }
        &mut self.buffer[self.end..]
    }

    /// The first `n` bytes of [`space`](Decoder::space) have arrived.
    ///
    /// # Panics
    ///
    /// If there was not that much space.
    pub fn filled(&mut self, n: usize) {
        assert!(n <= self.buffer.len() - self.end, "more than the space");
        self.end += n;
    }

    /// Copies from `bytes` what there is room for, and returns how much that
    /// was. It is at least one byte under the same condition as for
    /// [`space`](Decoder::space).
    #[must_use = "the rest has to be pushed after the next frames"]
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let n = bytes.len().min(space.len());
        space[..n].copy_from_slice(&bytes[..n]);
        self.filled(n);
        n
    }

    fn make_room(&mut self) {
        // A frame that has begun moves once: in front it stays until it is
        // whole. So no byte is moved again and again.
        self.move_to_front();
        if self.buffer.len() - self.end < READ / 2 {
            let most = self.limit + PREFIX + READ;
            let size = (self.buffer.len() * 2).clamp(READ, most);
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
    }

    fn move_to_front(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

/// The longest prefix or delimiter, in bytes.
const PREFIX: usize = 4;
// ANCHOR_END: room

// ANCHOR: frames
impl Decoder {
    /// The next frame: its payload, a slice of the buffer. `Ok(None)` means
    /// that more bytes are needed.
    ///
    /// # Errors
    ///
    /// Every call after an error returns that error again.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.cut() {
            Ok(Some((start, length))) => {
                Ok(Some(&self.buffer[start..start + length]))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.failure = Some(error);
                Err(error)
            }
        }
    }

    /// The stream has ended. Call it when [`next_frame`](Decoder::next_frame)
    /// has returned `Ok(None)`.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] if bytes are left, or the earlier error.
    pub fn finish(&self) -> Result<(), FrameError> {
        match (self.failure, self.end - self.start) {
            (Some(failure), _) => Err(failure),
            (None, 0) => Ok(()),
            (None, bytes) => Err(FrameError::Truncated { bytes }),
        }
    }

    /// Takes a whole frame; returns where its payload starts, and its length.
    fn cut(&mut self) -> Result<Option<(usize, usize)>, FrameError> {
        let unread = &self.buffer[self.start..self.end];
        // Bytes before the payload, in it, and after it.
        let (before, length, after) = match self.framing {
            Framing::Fixed(size) => (0, size.get(), 0),
            Framing::U16 => match unread.first_chunk() {
                Some(&prefix) => (2, u16::from_be_bytes(prefix).into(), 0),
                None => return Ok(None),
            },
            Framing::U32 => match unread.first_chunk() {
                Some(&prefix) => {
                    let length = u32::from_be_bytes(prefix);
                    // More than a `usize` is more than any limit.
                    (4, usize::try_from(length).unwrap_or(usize::MAX), 0)
                }
                None => return Ok(None),
            },
            Framing::Lines | Framing::Escaped => {
                // What was searched is not searched again, and nothing
                // beyond the limit is.
                let line = &unread[..unread.len().min(self.limit + 1)];
                match line[self.searched..].iter().position(is_newline) {
                    Some(at) => (0, self.searched + at, 1),
                    None if line.len() > self.limit => (0, line.len(), 1),
                    None => {
                        self.searched = line.len();
                        return Ok(None);
                    }
                }
            }
        };
        if length > self.limit {
            let limit = self.limit;
            return Err(FrameError::TooLong { length, limit });
        }
        if unread.len() < before + length + after {
            return Ok(None);
        }
        let start = self.start + before;
        self.start = start + length + after;
        self.searched = 0;
        if self.framing == Framing::Escaped {
            let payload = &mut self.buffer[start..start + length];
            return Ok(Some((start, unescape(payload)?)));
        }
        Ok(Some((start, length)))
    }
}

fn is_newline(byte: &u8) -> bool {
    *byte == b'\n'
}
// ANCHOR_END: frames

// ANCHOR: unescape
/// Replaces the escapes where they stand; returns how many bytes are left.
fn unescape(bytes: &mut [u8]) -> Result<usize, FrameError> {
    let Some(first) = bytes.iter().position(|&byte| byte == b'\\') else {
        return Ok(bytes.len());
    };
    let (mut from, mut to) = (first, first);
    while from < bytes.len() {
        bytes[to] = match bytes[from] {
            b'\\' => {
                from += 1;
                match bytes.get(from) {
                    Some(b'\\') => b'\\',
                    Some(b'n') => b'\n',
                    // The frame ended there: that was its newline.
                    other => {
                        let byte = other.copied().unwrap_or(b'\n');
                        return Err(FrameError::BadEscape { byte });
                    }
                }
            }
            byte => byte,
        };
        from += 1;
        to += 1;
    }
    Ok(to)
}
// ANCHOR_END: unescape

// ANCHOR: encode
impl Framing {
    /// Appends `payload` to `out` as one frame. Nothing is appended in case
    /// of an error.
    ///
    /// # Errors
    ///
    /// If this framing can't carry the payload.
    pub fn encode(
        self,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let length = payload.len();
        match self {
            Framing::Fixed(size) if size.get() != length => {
                let size = size.get();
                return Err(EncodeError::WrongSize { length, size });
            }
            Framing::Fixed(_) => out.extend_from_slice(payload),
            Framing::Lines => {
                if let Some(at) = payload.iter().position(is_newline) {
                    return Err(EncodeError::Newline { at });
                }
                out.extend_from_slice(payload);
                out.push(b'\n');
            }
            Framing::Escaped => {
                for &byte in payload {
                    match byte {
                        b'\\' => out.extend_from_slice(b"\\\\"),
                        b'\n' => out.extend_from_slice(b"\\n"),
                        byte => out.push(byte),
                    }
                }
                out.push(b'\n');
            }
            Framing::U16 => {
                let most = usize::from(u16::MAX);
                let prefix = u16::try_from(length)
                    .map_err(|_| EncodeError::TooLong { length, most })?;
                out.extend_from_slice(&prefix.to_be_bytes());
                out.extend_from_slice(payload);
            }
            Framing::U32 => {
                // On 32 bits no payload can be too long.
                let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
                let prefix = u32::try_from(length)
                    .map_err(|_| EncodeError::TooLong { length, most })?;
                out.extend_from_slice(&prefix.to_be_bytes());
                out.extend_from_slice(payload);
            }
        }
        Ok(())
    }
}
// ANCHOR_END: encode

// ANCHOR: words
/// `lines`, `escaped`, `u16`, `u32`, or `fixed` and a size, such as `fixed8`.
impl FromStr for Framing {
    type Err = UnknownFraming;

    fn from_str(name: &str) -> Result<Framing, UnknownFraming> {
        match name {
            "lines" => Ok(Framing::Lines),
            "escaped" => Ok(Framing::Escaped),
            "u16" => Ok(Framing::U16),
            "u32" => Ok(Framing::U32),
            _ => {
                let size = name.strip_prefix("fixed").ok_or(UnknownFraming)?;
                let size =
                    size.parse().map_err(|_: ParseIntError| UnknownFraming)?;
                Ok(Framing::Fixed(size))
            }
        }
    }
}

/// There is no framing of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFraming;

impl fmt::Display for UnknownFraming {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("not lines, escaped, u16, u32, or fixed and a size")
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            FrameError::TooLong { length, limit } => {
                write!(f, "a frame of {length} bytes, and the limit is {limit}")
            }
            FrameError::Truncated { bytes } => {
                write!(f, "the stream ended after {bytes} bytes of a frame")
            }
            FrameError::BadEscape { byte } => {
                write!(f, "a backslash before the byte {byte:#04x}")
            }
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            EncodeError::WrongSize { length, size } => {
                write!(f, "{length} bytes, and every frame has {size}")
            }
            EncodeError::TooLong { length, most } => {
                write!(f, "{length} bytes, and the prefix can say {most}")
            }
            EncodeError::Newline { at } => {
                write!(f, "a newline at offset {at}, which would end the frame")
            }
        }
    }
}

impl Error for UnknownFraming {}
impl Error for FrameError {}
impl Error for EncodeError {}
// ANCHOR_END: words
