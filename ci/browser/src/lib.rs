//! Proves the built pages: their policy, their weight, and what a browser makes of them.

pub mod chromium;
pub mod html;
pub mod site;

use std::io::Write;

use passed::is_ci;

/// Says why a test proves nothing on this machine. With `CI` set every tool must be there.
///
/// It writes past the test harness, which hides what a test prints that passes.
pub fn skip(test: &str, reason: &str) {
    assert!(!is_ci(), "{reason} (CI is set, so this is required)");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}
