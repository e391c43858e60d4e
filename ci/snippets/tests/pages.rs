//! Every code block of every page, compiled and run.

mod support;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));
