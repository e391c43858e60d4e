//! A listing that is copied out of the repository builds, and passes its tests, alone.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use pages::Problem;
use passed::{Inputs, Passed};

use crate::{House, Listing};

/// Copies each listing to a folder outside of the repository and runs its tests there, without the network.
/// A listing that passed before, with the very same files, versions and compiler, is not copied again.
pub fn copies_pass(house: &House) -> Result<Vec<Problem>> {
    let target = house
        .metadata
        .target_directory
        .as_std_path()
        .join("copied-listings");
    fs::create_dir_all(&target).with_context(|| format!("make {}", target.display()))?;
    let lock = fs::read(house.root.join("Cargo.lock")).context("read Cargo.lock")?;
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("run rustc -vV")?;

    let passed = Passed::within(&target, "passed")?;
    // Always the same folder for a repository, so that cargo knows the copies again.
    let mut hasher = DefaultHasher::new();
    house.root.canonicalize()?.hash(&mut hasher);
    let outside = env::temp_dir().join(format!("on-the-wire-copies-{:016x}", hasher.finish()));
    let mut problems = Vec::new();
    for listing in house.listings() {
        let files = files_of(house, &listing)?;
        let mut inputs = Inputs::default();
        inputs.add((&lock, &rustc.stdout, &files));
        if passed.has(&listing.package.name, &inputs) {
            continue;
        }

        let copy = outside.join(listing.package.name.as_str());
        write_copy(&copy, &files, &lock)?;
        let output = Command::new("cargo")
            .args(["test", "--offline", "--quiet"])
            .current_dir(&copy)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .output()
            .context("run cargo test")?;
        if output.status.success() {
            passed.add(&listing.package.name, &inputs);
        } else {
            problems.push(Problem::new(
                listing.manifest(),
                0,
                format!(
                    "`cargo test` fails in a copy of this listing outside of the repository:\n{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                ),
            ));
        }
    }
    let _ = fs::remove_dir_all(&outside);
    Ok(problems)
}

/// The listing's files with their content, sorted.
fn files_of(house: &House, listing: &Listing) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let start = house.root.join(&listing.folder);
    let mut files = Vec::new();
    for path in listing.files(house, ".") {
        let at = house.root.join(&path);
        let name = at.strip_prefix(&start).unwrap_or(&at).to_path_buf();
        if name
            .components()
            .any(|part| part.as_os_str() == "__pycache__")
        {
            continue;
        }
        let content = fs::read(&at).with_context(|| format!("read {}", at.display()))?;
        files.push((name, content));
    }
    Ok(files)
}

fn write_copy(copy: &Path, files: &[(PathBuf, Vec<u8>)], lock: &[u8]) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy).with_context(|| format!("remove {}", copy.display()))?;
    }
    // The versions that the workspace was tested with.
    let lock = (PathBuf::from("Cargo.lock"), lock.to_vec());
    for (name, content) in files.iter().chain([&lock]) {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder"))
            .and_then(|()| fs::write(&path, content))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
