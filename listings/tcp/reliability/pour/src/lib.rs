//! A stream whose every byte tells whether it is at its place, and checksums.

pub mod checksum;
mod pattern;

pub use pattern::{byte_at, fill, first_wrong};
