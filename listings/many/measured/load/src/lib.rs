//! A load generator for echo servers: what sends, what is sent, and what is
//! measured. It needs Linux, for its io_uring.

#![cfg(target_os = "linux")]

// So that each file of it can say `load::…`, inside of it and outside.
extern crate self as load;

pub mod connects;
pub mod exchange;
pub mod linux;
pub mod options;
pub mod pattern;
pub mod watch;
