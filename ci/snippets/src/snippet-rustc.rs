//! Stands in for rustc while snippets are compiled. skeptic passes every crate of the dependency graph;
//! this keeps those that the book may use, so that a page can't lean on a crate that its reader won't have.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let allowed = env::var("SNIPPET_CRATES").unwrap_or_default();
    let is_allowed = |value: &OsString| {
        let value = value.to_string_lossy();
        let name = value.split('=').next().unwrap_or_default();
        allowed.split(',').any(|crate_name| crate_name == name)
    };

    let mut kept = Vec::new();
    let mut args = env::args_os().skip(1);
    while let Some(arg) = args.next() {
        if arg != "--extern" {
            kept.push(arg);
        } else if let Some(value) = args.next().filter(is_allowed) {
            kept.extend([arg, value]);
        }
    }

    let rustc = env::var_os("SNIPPET_RUSTC").unwrap_or_else(|| "rustc".into());
    // Warnings would hide the error; the listings are linted where they lie.
    match Command::new(&rustc).args(kept).arg("-Awarnings").status() {
        Ok(status) => ExitCode::from(status.code().unwrap_or(1) as u8),
        Err(error) => {
            eprintln!("can't run {}: {error}", rustc.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}
