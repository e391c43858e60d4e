//! What the generated tests call.

#![allow(dead_code)] // each test file uses a part

use std::any::Any;
use std::env;
use std::panic;
use std::process::Command;
use std::sync::Once;
use std::thread;
use std::time::Duration;

use serde_json::Value;

pub const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
pub const OUT: &str = env!("OUT_DIR");
pub const TARGET: &str = env!("TARGET");

/// Where a snippet stands. Says so when its test fails.
pub struct Place {
    page: &'static str,
    line: usize,
    from: &'static str,
}

impl Place {
    pub fn new(page: &'static str, line: usize, from: &'static str) -> Place {
        use_our_rustc();
        Place { page, line, from }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "{}:{}: this snippet failed; its code is from {}",
                self.page, self.line, self.from
            );
        }
    }
}

/// Lets skeptic compile with `snippet-rustc`. Every test calls it before anything else.
pub fn use_our_rustc() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // skeptic's message is a command of several thousand words; what the compiler or the snippet
        // said stands before it and is enough.
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !message(info.payload()).starts_with("Command failed") {
                usual(info);
            }
        }));
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        // SAFETY: no test has gone past this point, and nothing here reads the environment in
        // another way than through std, which locks it.
        unsafe {
            env::set_var("SNIPPET_RUSTC", rustc);
            env::set_var("SNIPPET_CRATES", env!("SNIPPET_CRATES"));
            env::set_var("RUSTC", env!("CARGO_BIN_EXE_snippet-rustc"));
        }
    });
}

/// Compiles and runs a program. In place of `skeptic::rt::run_test`, which now and then finds a program that
/// it has just written busy: another thread started a process at that moment, and until that process has
/// become its own program it holds a copy of the file, open for writing. It lasts for less than a millisecond.
pub fn run_test(root: &str, out: &str, target: &str, program: &str) {
    for _ in 0..50 {
        let done = panic::catch_unwind(|| skeptic::rt::run_test(root, out, target, program));
        let Err(cause) = done else { return };
        if !message(&*cause).contains("Text file busy") {
            panic::resume_unwind(cause);
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the compiled snippet stays busy: something else holds it open for writing");
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> &str {
    match (
        payload.downcast_ref::<String>(),
        payload.downcast_ref::<&str>(),
    ) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "",
    }
}

/// Asserts that `program` is refused with one error: this code, at the line that says so.
pub fn fails_to_compile(code: &str, program: &str) {
    assert!(
        !code.is_empty(),
        "a block marked compile_fail names its error too, such as rust,compile_fail,E0382"
    );
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("snippet.rs");
    std::fs::write(&source, program).unwrap();
    let rustc = env::var_os("SNIPPET_RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2021", "--error-format=json", "--emit=metadata"])
        .arg("-o")
        .arg(folder.path().join("snippet.rmeta"))
        .arg(&source)
        .output()
        .expect("run rustc");
    assert!(!output.status.success(), "this compiles, and should not");

    let stderr = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<Value> = stderr
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|said: &Value| {
            said["level"] == "error" && !said["spans"].as_array().unwrap().is_empty()
        })
        .collect();
    let codes: Vec<&str> = errors
        .iter()
        .map(|error| error["code"]["code"].as_str().unwrap_or("no code"))
        .collect();
    assert_eq!(codes, [code], "{stderr}");

    let line = errors[0]["spans"]
        .as_array()
        .unwrap()
        .iter()
        .find(|span| span["is_primary"] == true)
        .and_then(|span| span["line_start"].as_u64())
        .expect("an error has a place");
    let text = program.lines().nth(line as usize - 1).unwrap_or_default();
    assert!(
        text.contains("// does not compile"),
        "{code} is in line {line}, `{}`, which has no comment `// does not compile`",
        text.trim()
    );
}
