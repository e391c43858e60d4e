//! The tests of the pages can fail: here is what makes them.

mod support;

include!("../template.rs");

use std::panic::catch_unwind;

use support::{OUT, PACKAGE, TARGET, fails_to_compile, run_test, use_our_rustc};

/// Compiles and runs a snippet as the tests of the pages do, with a deadline of a second.
fn passes(snippet: &'static str) -> bool {
    use_our_rustc();
    let program = template(1)
        .replace("{{", "{")
        .replace("}}", "}")
        .replacen("{}", snippet, 1);
    catch_unwind(|| run_test(PACKAGE, OUT, TARGET, &program)).is_ok()
}

#[test]
fn a_sound_snippet_passes() {
    assert!(passes("fn main() {}"));
    assert!(passes(
        "use anyhow::Result; fn main() -> Result<()> { Ok(()) }"
    ));
}

#[test]
fn a_snippet_that_hangs_fails() {
    assert!(!passes("fn main() { loop { std::thread::park() } }"));
}

#[test]
fn a_snippet_that_panics_or_returns_an_error_fails() {
    assert!(!passes("fn main() { panic!() }"));
    assert!(!passes(
        "fn main() -> Result<(), &'static str> { Err(\"no\") }"
    ));
}

#[test]
fn a_crate_that_the_book_may_not_use_is_not_there() {
    assert!(passes("use socket2 as _; fn main() {}"));
    // Both are in the dependency graph of this package.
    assert!(!passes("use serde_json as _; fn main() {}"));
    assert!(!passes("use pages as _; fn main() {}"));
}

#[test]
fn a_program_that_compiles_or_breaks_elsewhere_is_no_compile_error() {
    let fails = |code: &'static str, program: &'static str| {
        catch_unwind(|| fails_to_compile(code, program)).is_ok()
    };
    let moved = "fn main() {\n let s = String::new();\n drop(s);\n drop(s); // does not compile\n}";
    assert!(fails("E0382", moved));
    assert!(!fails("E0308", moved));
    assert!(!fails("E0382", "fn main() {}"));
    assert!(!fails("", moved));
    assert!(!fails(
        "E0382",
        "fn main() {\n let s = String::new();\n drop(s); // does not compile\n drop(s);\n}"
    ));
}
