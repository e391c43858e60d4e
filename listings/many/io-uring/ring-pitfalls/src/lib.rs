//! What goes wrong with io_uring, on one machine, both ends in one program.
#![cfg(target_os = "linux")]

pub mod limit;
pub mod reuse;
