//! The site as it is published: what its pages allow, what they weigh, and how they work.

mod highlight;
mod pages;
mod policy;
mod tour;
mod weight;

use std::path::Path;

use anyhow::Result;
use browser::site::sources;
use passed::Passed;

/// Does a check of the whole site, unless it has passed with all that the site is built from, and with
/// these tools.
fn check(name: &str, tools: &[&Path], check: impl FnOnce() -> Result<()>) -> Result<()> {
    let passed = Passed::within(env!("CARGO_TARGET_TMPDIR"), "sites")?;
    let mut inputs = sources()?;
    for tool in tools {
        inputs.program(tool)?;
    }
    if passed.has(name, &inputs) {
        return Ok(());
    }
    check()?;
    passed.add(name, &inputs);
    Ok(())
}
