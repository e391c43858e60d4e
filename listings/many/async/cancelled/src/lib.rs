//! The decoder of the framing chapter.

pub mod frames;
