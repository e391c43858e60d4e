//! Runs programs in Linux namespaces of their own, where names and networks can be made up.

#![allow(dead_code)] // each test file uses a part

use std::path::PathBuf;
use std::process::Command;

/// A command that runs the program and arguments added to it, after `setup`, in namespaces
/// of its own; or `None`, with a word of why, where that can't be had.
pub fn namespace(options: &[&str], setup: &str) -> Option<Command> {
    let within = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).args(["--", "sh", "-ec"]);
        command.arg(format!("{setup}\nexec \"$@\"")).arg("sh");
        command.args(program);
        command
    };
    let why = match within(&["true"]).output() {
        Ok(output) if output.status.success() => return Some(within(&[])),
        Ok(output) => {
            String::from_utf8_lossy(&output.stderr).trim().to_string()
        }
        Err(error) => format!("unshare: {error}"),
    };
    assert!(
        std::env::var_os("CI").is_none(),
        "namespaces are missing, and CI needs them: {why}"
    );
    eprintln!("skipped: needs namespaces, which are not to be had here: {why}");
    None
}

/// Capabilities over the new namespaces, a file system and a network of its own.
pub const ALL: [&str; 4] = ["--user", "--map-root-user", "--mount", "--net"];

/// The same, with the network of the host.
pub const FILES: [&str; 3] = ["--user", "--map-root-user", "--mount"];

/// A line of `setup` that puts `text` in the place of a file, for this namespace alone.
pub fn replace(file: &str, test: &str, text: &str) -> String {
    let name = format!(
        "{}-{test}{}",
        env!("CARGO_PKG_NAME"),
        file.replace('/', "-")
    );
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("write a file to mount");
    format!("mount --bind '{}' {file}\n", path.display())
}
