//! An echo server on io_uring: `ring` is all that is unsafe, `server` the rest.
#![cfg(target_os = "linux")]

// So that the files below can also be compiled outside of this crate.
extern crate self as uring_server;

pub mod ring;
pub mod server;
