//! Frames: messages with borders, on a stream that has none.
//!
//! ```
//! use frames::{Decoder, Framing};
//!
//! let mut decoder = Decoder::new(Framing::U16, 1024);
//! // The stream is cut anywhere, here in the middle of the first frame.
//! for piece in [&b"\0\x05hel"[..], b"lo\0\x04wire"] {
//!     assert_eq!(decoder.push(piece), piece.len());
//!     while let Some(frame) = decoder.next_frame()? {
//!         println!("{}", String::from_utf8_lossy(frame));
//!     }
//! }
//! decoder.finish()?;
//! # Ok::<(), frames::FrameError>(())
//! ```

#![forbid(unsafe_code)]

mod decoder;

pub use decoder::{
    Decoder, EncodeError, FrameError, Framing, READ, UnknownFraming,
};
