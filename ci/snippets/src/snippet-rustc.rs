//! Stands in for rustc while snippets are compiled. skeptic passes every crate of the dependency graph;
//! this keeps those that the book may use, so that a page can't lean on a crate that its reader won't have.
//! Of a crate that was built more than once, with other features, skeptic takes the newest; this the one that the
//! tests of the pages are linked with, and with them all that the other crates were compiled against.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut kept = Vec::new();
    let mut args = env::args_os().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--extern" {
            args.next();
        } else {
            kept.push(arg);
        }
    }
    for library in env::var("SNIPPET_LIBRARIES").unwrap_or_default().lines() {
        kept.extend(["--extern".into(), OsString::from(library)]);
    }

    let rustc = env::var_os("SNIPPET_RUSTC").unwrap_or_else(|| "rustc".into());
    // Warnings would hide the error; the listings are linted where they lie. Without symbols a program that is
    // kept for the next time takes a tenth of the room.
    kept.extend(["-Awarnings".into(), "-Cstrip=symbols".into()]);
    match Command::new(&rustc).args(kept).status() {
        Ok(status) => ExitCode::from(status.code().unwrap_or(1) as u8),
        Err(error) => {
            eprintln!("can't run {}: {error}", rustc.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}
