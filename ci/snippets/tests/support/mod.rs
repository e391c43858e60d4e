//! What the generated tests call.

#![allow(dead_code)] // each test file uses a part

use std::any::Any;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::panic;
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Once};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use passed::{Inputs, Passed};
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
            env::set_var("SNIPPET_LIBRARIES", LIBRARIES.join("\n"));
            // A snippet that runs waits for its peers more than it works.
            env::set_var("SKEPTIC_JOBS", "6");
            env::set_var("RUSTC", env!("CARGO_BIN_EXE_snippet-rustc"));
        }
    });
}

/// The crates that a snippet may use, each as `name=path` of the very build that this test is linked with.
static LIBRARIES: LazyLock<Vec<String>> =
    LazyLock::new(|| libraries().unwrap_or_else(|error| panic!("{error:#}")));

/// Cargo's fingerprint of this test names the builds of the crates that it is linked with.
fn libraries() -> Result<Vec<String>> {
    let exe = env::current_exe()?;
    let folder = exe.parent().context("a program is in a folder")?;
    let prints = folder.with_file_name(".fingerprint");
    let hash = |name: &str| Some(name.rsplit_once('-')?.1.to_string());
    let own = exe.file_stem().and_then(|name| hash(name.to_str()?));
    let own = own.context("the name of a test ends in a hash")?;

    let mut builds = HashMap::new();
    let mut linked = None;
    for unit in fs::read_dir(&prints).with_context(|| format!("read {}", prints.display()))? {
        let unit = unit?.path();
        let name = unit.file_name().unwrap_or_default().to_string_lossy();
        let Some(hash) = hash(&name) else { continue };
        for file in fs::read_dir(&unit)? {
            let file = file?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if hash == own && name.starts_with("test-") && name.ends_with(".json") {
                linked = Some(fs::read_to_string(&file)?);
            } else if let Some(name) = name.strip_prefix("lib-")
                && !name.contains('.')
            {
                let library = folder.join(format!("lib{}-{hash}.rlib", name.replace('-', "_")));
                builds.insert(fs::read_to_string(&file)?, library);
            }
        }
    }
    let linked = linked.with_context(|| format!("no fingerprint of {}", exe.display()))?;
    let linked: Value = serde_json::from_str(&linked)?;
    // Each is `[package, name, public, fingerprint]`.
    let mut libraries = Vec::new();
    for crate_name in env!("SNIPPET_CRATES").split(',') {
        let uses = linked["deps"].as_array().into_iter().flatten();
        let build = uses
            .filter(|used| used[1] == crate_name)
            .filter_map(|used| Some(format!("{:016x}", used[3].as_u64()?.swap_bytes())))
            .find_map(|print| builds.get(&print));
        // What only another system has is not there.
        libraries.extend(build.map(|library| format!("{crate_name}={}", library.display())));
    }
    ensure!(
        !libraries.is_empty(),
        "{} is not written in the way that is known here: it names no crate that a snippet may use",
        prints.display()
    );
    Ok(libraries)
}

/// Compiles a program that is not to be run, unless the same was compiled before with the same crates.
pub fn compile_test(root: &str, out: &str, target: &str, program: &str) {
    let (passed, compiler) = &*COMPILED;
    let mut inputs = compiler.clone();
    inputs.add((program, target));
    // The harness names the thread of a test after it.
    let test = thread::current();
    let test = test.name().unwrap_or("main");
    if !passed.has(test, &inputs) {
        skeptic::rt::compile_test(root, out, target, program);
        passed.add(test, &inputs);
    }
}

/// What has compiled, and the compiler with the crates that it was given.
static COMPILED: LazyLock<(Passed, Inputs)> = LazyLock::new(|| {
    let read = || {
        let mut inputs = Inputs::default();
        inputs.program(Path::new(env!("CARGO_BIN_EXE_snippet-rustc")))?;
        let rustc = env::var_os("SNIPPET_RUSTC").unwrap_or_else(|| "rustc".into());
        let version = Command::new(rustc).arg("-vV").output();
        inputs.add(version.context("run rustc -vV")?.stdout);
        for library in &*LIBRARIES {
            let (_, path) = library.split_once('=').unwrap_or_default();
            inputs.program(Path::new(path))?;
        }
        Ok((
            Passed::within(env!("CARGO_TARGET_TMPDIR"), "compiled")?,
            inputs,
        ))
    };
    read().unwrap_or_else(|error: anyhow::Error| panic!("{error:#}"))
});

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
