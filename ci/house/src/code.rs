//! What a page shows is what a listing holds, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pages::{Block, Include, IncludeKind, Page, Part, Problem, anchors, join_relative};

use crate::{House, show};

/// A code block that may stand on a page itself.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub page: &'static str,
    /// The block's first line.
    pub first_line: &'static str,
    pub reason: &'static str,
}

/// Every block, of code or of output, is one include from `listings/`, but for commands, which have a rule of their own, and
/// the exceptions, which are all needed.
pub fn code_comes_from_listings(house: &House, exceptions: &[Exception]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut needed = BTreeSet::new();
    for page in &house.book.pages {
        for block in &page.blocks {
            if block.tags().next() == Some("console") {
                continue;
            }
            if is_one_include(page, block) {
                continue;
            }
            let exception = exceptions.iter().position(|exception| {
                page.path == Path::new(exception.page)
                    && block.text.lines().next().map(str::trim) == Some(exception.first_line)
            });
            match exception {
                Some(index) => {
                    needed.insert(index);
                }
                None => problems.push(Problem::new(
                    &page.path,
                    block.line,
                    "this code stands on the page itself; move it into a listing and include it with \
                     {{#include …}} or {{#rustdoc_include …:anchor}}, alone in its block; output that a program has \
                     printed is shown by {{#console …}}",
                )),
            }
        }
    }
    for (index, exception) in exceptions.iter().enumerate() {
        if !needed.contains(&index) {
            problems.push(Problem::new(
                exception.page,
                0,
                format!(
                    "the exception for the block that begins with {:?} ({}) is no longer needed; remove it",
                    exception.first_line, exception.reason
                ),
            ));
        }
    }
    problems
}

fn is_one_include(page: &Page, block: &Block) -> bool {
    let folder = page.path.parent().expect("a page lies in src/");
    let text = block.text.trim();
    let mut includes = page
        .includes
        .iter()
        .filter(|include| include.line == block.line + 1);
    let Some(include) = includes.next() else {
        return false;
    };
    text.starts_with("{{#")
        && text.ends_with("}}")
        && text.lines().count() == 1
        && includes.next().is_none()
        && join_relative(folder, &include.path).is_some_and(|path| path.starts_with("listings"))
}

/// What skeptic leaves out stands in a file that it compiles elsewhere: another block of the page carries the whole file, or
/// the file belongs to a library against which snippets are compiled.
pub fn ignored_code_is_compiled(house: &House) -> Vec<Problem> {
    let libraries = libraries_of_snippets(house);
    let mut problems = Vec::new();
    for page in &house.book.pages {
        let folder = page.path.parent().expect("a page lies in src/");
        let shown = |block: &Block| -> Option<(&Include, PathBuf)> {
            let include = page
                .includes
                .iter()
                .find(|one| one.line == block.line + 1)?;
            Some((include, join_relative(folder, &include.path)?))
        };
        let rust = || page.blocks.iter().filter(|block| block.is_rust());
        let carried: BTreeSet<PathBuf> = rust()
            .filter(|block| !block.has_tag("ignore"))
            .filter_map(shown)
            .filter(|(one, _)| one.kind == IncludeKind::Rustdoc || one.part == Part::Whole)
            .map(|(_, path)| path)
            .collect();
        for block in rust().filter(|block| block.has_tag("ignore")) {
            let Some((_, path)) = shown(block) else {
                continue; // code that stands on the page itself has a rule of its own
            };
            if !carried.contains(&path) && !libraries.iter().any(|one| path.starts_with(one)) {
                problems.push(Problem::new(
                    &page.path,
                    block.line,
                    format!(
                        "nothing compiles this as the reader sees it; leave out `ignore`, or carry {} whole in another \
                         block of this page",
                        show(&path)
                    ),
                ));
            }
        }
    }
    problems
}

/// The sources of the libraries on which `ci/snippets` depends.
fn libraries_of_snippets(house: &House) -> Vec<PathBuf> {
    let packages = house.metadata.workspace_packages();
    let snippets = packages.iter().find(|package| package.name == "snippets");
    let wanted: BTreeSet<&str> = snippets
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    house
        .listings()
        .iter()
        .filter(|listing| wanted.contains(listing.package.name.as_str()))
        .map(|listing| listing.folder.join("src"))
        .collect()
}

/// A Rust block of a document at the top of the repository, which can't include, is a part of a listing to the letter.
pub fn documents_show_listings(house: &House) -> Vec<Problem> {
    let flat = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let listings: Vec<String> = house
        .listings()
        .iter()
        .flat_map(|listing| listing.files(house, "src"))
        .filter_map(|path| fs::read_to_string(house.root.join(path)).ok())
        .map(|text| flat(&text))
        .collect();
    let mut problems = Vec::new();
    for document in &house.documents {
        for block in document.blocks.iter().filter(|block| block.is_rust()) {
            let text = flat(block.text.trim());
            if !listings.iter().any(|listing| listing.contains(&text)) {
                let message = "no listing holds these lines; copy them from one";
                problems.push(Problem::new(&document.path, block.line, message));
            }
        }
    }
    problems
}

/// Every listing is shown by the chapter that owns it, whole: each of its programs, each of its anchors.
pub fn listings_are_on_pages(house: &House) -> Vec<Problem> {
    // For each file that is included anywhere: the anchors that are used, and the pages.
    let mut used: BTreeMap<PathBuf, (BTreeSet<&str>, BTreeSet<&PathBuf>)> = BTreeMap::new();
    for page in &house.book.pages {
        let folder = page.path.parent().expect("a page lies in src/");
        for include in &page.includes {
            let Some(path) = join_relative(folder, &include.path) else {
                continue;
            };
            let (names, pages) = used.entry(path).or_default();
            pages.insert(&page.path);
            if let Part::Anchor(name) = &include.part {
                names.insert(name);
            }
        }
    }

    // A listing that can be copied out has its own copy of what another one shows already.
    let shown: BTreeSet<Vec<u8>> = used
        .keys()
        .filter_map(|path| fs::read(house.root.join(path)).ok())
        .collect();
    let is_shown =
        |path: &Path| fs::read(house.root.join(path)).is_ok_and(|text| shown.contains(&text));

    let mut problems = Vec::new();
    for listing in house.listings() {
        let page = listing.page();
        if !house.book.pages.iter().any(|written| written.path == page) {
            problems.push(Problem::new(
                listing.manifest(),
                0,
                format!(
                    "its chapter would be {}, which is no chapter of src/SUMMARY.md",
                    show(&page)
                ),
            ));
            continue;
        }
        let on_its_page = used
            .iter()
            .any(|(path, (_, pages))| path.starts_with(&listing.folder) && pages.contains(&page));
        if !on_its_page {
            problems.push(Problem::new(
                listing.manifest(),
                0,
                format!("{} includes nothing of this listing", show(&page)),
            ));
            continue;
        }
        for folder in [
            "src", "python", "c", "broken", "strace", "scenes", "results",
        ] {
            for path in listing.files(house, folder) {
                let scene = scene_of(&path);
                if folder == "scenes" && scene != path {
                    if !house.root.join(&scene).is_file() {
                        let message = format!(
                            "it was recorded from {}, which is gone; remove it",
                            show(&scene)
                        );
                        problems.push(Problem::new(&path, 0, message));
                    }
                    continue;
                }
                if path.extension().is_some_and(|ending| ending == "pyc") {
                    continue;
                }
                let Some((names, _)) = used.get(&path) else {
                    if is_shown(&path) {
                        continue;
                    }
                    problems.push(Problem::new(
                        &path,
                        0,
                        "no page includes this file; show it, or remove it",
                    ));
                    continue;
                };
                let text = fs::read_to_string(house.root.join(&path)).unwrap_or_default();
                for (name, (line, _)) in anchors(&text) {
                    if !names.contains(name.as_str()) {
                        problems.push(Problem::new(
                            &path,
                            line,
                            format!("no page uses the anchor {name}; include it, or remove it"),
                        ));
                    }
                }
            }
        }
    }
    problems
}

/// The scene beside a recording's file: `hello.toml` for `hello.client.pcapng`.
fn scene_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    path.with_file_name(format!("{stem}.toml"))
}
