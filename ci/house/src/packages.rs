//! Listings as packages: complete in themselves, and alike.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pages::Problem;
use spdx::Expression;

use crate::{House, show};

/// Licences under which a dependency may be passed on with a program of the reader's.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    // The icons that mdBook puts on every page.
    "CC-BY-4.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A listing's manifest is complete, its name is unlike others, and nothing in it needs this repository.
pub fn listings_stand_alone(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    for listing in house.listings() {
        let package = listing.package;
        let manifest = listing.manifest();
        let mut say = |message: String| problems.push(Problem::new(&manifest, 0, message));

        if listing
            .folder
            .file_name()
            .is_none_or(|name| name != package.name.as_str())
        {
            say(format!(
                "the package {} lies in a folder of another name",
                package.name
            ));
        }
        let text = fs::read_to_string(house.root.join(&manifest)).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            if line.contains("workspace=true") {
                let message = "a listing can be copied out, so it can't take this from the workspace; write it out";
                problems.push(Problem::new(&manifest, index + 1, message));
            }
        }
        let mut say = |message: String| problems.push(Problem::new(&manifest, 0, message));
        for dependency in &package.dependencies {
            if let Some(path) = &dependency.path {
                say(format!(
                    "it depends on {path}, which does not come along when the listing is copied out"
                ));
            }
        }
        if package.edition != cargo_metadata::Edition::E2024 {
            say("set edition = \"2024\"".to_string());
        }
        if package.license.as_deref() != Some("MIT OR Apache-2.0") {
            say("set license = \"MIT OR Apache-2.0\"".to_string());
        }
        if package.publish.as_deref() != Some(&[]) {
            say("set publish = false".to_string());
        }
        if package.description.is_none() {
            say("say in description what it is".to_string());
        }
        for target in package.targets.iter().filter(|target| target.is_bin()) {
            let name = target.name.as_str();
            let begins = name
                .strip_prefix(package.name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
            if !begins {
                say(format!(
                    "the program {name} must be called {0} or {0}-…",
                    package.name
                ));
            }
        }
    }
    problems.extend(helpers_agree(house));
    problems
}

/// A file, and the place where another listing has it too.
const COPIES: [(&str, &str); 2] = [
    (
        "listings/framing/codecs/header/src/lib.rs",
        "listings/framing/codecs/codec/src/header.rs",
    ),
    (
        "listings/framing/framing/frames/src/lib.rs",
        "listings/many/async/cancelled/src/frames.rs",
    ),
];

/// What the tests of several listings need stands in each of them, at the same place and the same to the letter.
fn helpers_agree(house: &House) -> Vec<Problem> {
    // The first copy of each, and where it is; `cargo book new` brings the one that runs programs.
    let mut first = BTreeMap::from([(
        PathBuf::from("tests/support/mod.rs"),
        (
            "what `cargo book new` writes".to_string(),
            book::SUPPORT.to_string(),
        ),
    )]);
    let mut problems = Vec::new();
    for (model, copy) in COPIES {
        let read = |path: &str| fs::read_to_string(house.root.join(path)).ok();
        if let (Some(expected), Some(text)) = (read(model), read(copy))
            && text != expected
        {
            let message =
                format!("differs from {model}; the two are the same, so change them together");
            problems.push(Problem::new(copy, 0, message));
        }
    }
    for listing in house.listings() {
        for path in listing.files(house, "tests") {
            let place = path.strip_prefix(&listing.folder).unwrap_or(&path);
            if place.file_name().is_none_or(|name| name != "mod.rs") {
                continue;
            }
            let text = fs::read_to_string(house.root.join(&path)).unwrap_or_default();
            match first.get(place) {
                None => {
                    first.insert(place.to_path_buf(), (show(&path), text));
                }
                Some((model, expected)) if text != *expected => {
                    let message = format!(
                        "differs from {model}; all copies are the same, so change them together"
                    );
                    problems.push(Problem::new(path, 0, message));
                }
                Some(_) => {}
            }
        }
    }
    problems
}

/// All listings ask for the same version of a dependency.
pub fn dependencies_agree(house: &House) -> Vec<Problem> {
    let mut wanted: BTreeMap<&str, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for listing in house.listings() {
        for dependency in &listing.package.dependencies {
            wanted
                .entry(&dependency.name)
                .or_default()
                .entry(dependency.req.to_string())
                .or_default()
                .push(show(&listing.manifest()));
        }
    }
    let mut problems = Vec::new();
    for (name, versions) in wanted {
        if versions.len() < 2 {
            continue;
        }
        // The one that most listings want is taken for the right one.
        let (common, _) = versions
            .iter()
            .max_by_key(|(_, manifests)| manifests.len())
            .expect("there are two at least");
        for (version, manifests) in versions.iter().filter(|(version, _)| *version != common) {
            for manifest in manifests {
                let message = format!(
                    "wants {name} {version}, and other listings want {common}; make them the same"
                );
                problems.push(Problem::new(manifest, 0, message));
            }
        }
    }
    problems
}

/// Every dependency may be passed on.
pub fn licences_are_allowed(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in &house.metadata.packages {
        let label = format!("{} {}", package.name, package.version);
        let allowed = match package.license.as_deref() {
            None => Err("it states no licence".to_string()),
            // Some packages still write `MIT/Apache-2.0`.
            Some(licence) => match Expression::parse_mode(licence, spdx::ParseMode::LAX) {
                Err(error) => Err(format!("its licence {licence:?} can't be read: {error}")),
                Ok(expression) => {
                    let ok = expression.evaluate(|wanted| {
                        wanted
                            .license
                            .id()
                            .is_some_and(|id| LICENCES.contains(&id.name))
                    });
                    if ok {
                        Ok(())
                    } else {
                        Err(format!(
                            "its licence {licence} is not among the allowed ones"
                        ))
                    }
                }
            },
        };
        if let Err(message) = allowed {
            problems.push(Problem::new(
                "Cargo.lock",
                0,
                format!("{label}: {message}; do without it, or add the licence to ci/house/src/packages.rs"),
            ));
        }
    }
    problems
}
