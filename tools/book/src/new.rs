//! `cargo book new`: a listing that already passes the house rules, to be changed from there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use toml_edit::DocumentMut;

/// Where the default ports of the listings begin.
const FIRST_PORT: u16 = 7001;

const MANIFEST: &str = include_str!("../template/Cargo.toml.txt");
const PROGRAM: &str = include_str!("../template/main.rs.txt");
const TEST: &str = include_str!("../template/test.rs.txt");
const SECTION: &str = include_str!("../template/section.md.txt");
/// `tests/support/mod.rs` of every listing whose tests run programs. Each has its own copy, because a
/// listing can be copied out alone.
pub const SUPPORT: &str = include_str!("../../../listings/tcp/echo/echo/tests/support/mod.rs");

pub(crate) fn new(root: &Path, chapter: &str, listing: &str) -> Result<()> {
    let chapter = chapter
        .trim_start_matches("src/")
        .trim_end_matches(".md")
        .trim_end_matches('/');
    let page = Path::new("src").join(format!("{chapter}.md"));
    check_name(listing)?;
    ensure!(
        root.join(&page).is_file(),
        "there is no {}; write the chapter first and name it in src/SUMMARY.md",
        page.display()
    );
    let is_chapter = pages::Book::load(root)?
        .pages
        .iter()
        .any(|chapter| chapter.path == page);
    ensure!(
        is_chapter,
        "{} is no chapter yet; name it in src/SUMMARY.md first",
        page.display()
    );
    if let Some(taken) = packages(root)?.iter().find(|(name, _)| name == listing) {
        bail!("the name {listing} is taken by {}", taken.1.display());
    }

    let folder = Path::new("listings").join(chapter).join(listing);
    let port = free_port(root)?;
    let fill = |text: &str| {
        text.replace("LISTING", listing)
            .replace("PORT", &port.to_string())
    };
    let test = listing.replace('-', "_");
    let files = [
        ("Cargo.toml".to_string(), fill(MANIFEST)),
        ("src/main.rs".to_string(), fill(PROGRAM)),
        (format!("tests/{test}.rs"), fill(TEST)),
        ("tests/support/mod.rs".to_string(), SUPPORT.to_string()),
    ];
    ensure!(
        !root.join(&folder).exists(),
        "{} is there already",
        folder.display()
    );
    for (name, text) in &files {
        let path = root.join(&folder).join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder"))
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("write {}", path.display()))?;
        println!("wrote {}", folder.join(name).display());
    }

    let up = "../".repeat(page.components().count() - 1);
    let include = format!("{up}listings/{chapter}/{listing}/src/main.rs");
    let path = root.join(&page);
    let mut text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    text.push_str(&fill(SECTION).replace("INCLUDE", &include));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    println!("added a section to the end of {}", page.display());

    if add_member(root, chapter)? {
        println!("added listings/{chapter} to the workspace in Cargo.toml");
    }
    println!(
        "now: cargo test -p {listing}, which also enters the package in Cargo.lock: commit that file too"
    );
    Ok(())
}

/// A package name that can also be a test's name and an id on a page.
fn check_name(listing: &str) -> Result<()> {
    let ok = listing.starts_with(|c: char| c.is_ascii_lowercase())
        && listing
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !listing.ends_with('-')
        && !listing.contains("--");
    ensure!(
        ok,
        "{listing:?} is no name for a listing: lower-case words joined by '-', such as echo-upper"
    );
    Ok(())
}

/// Name and folder of every listing.
fn packages(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for path in files_below(&root.join("listings"))? {
        if path.file_name().is_some_and(|name| name == "Cargo.toml") {
            let text = fs::read_to_string(&path)?;
            let manifest: DocumentMut = text
                .parse()
                .with_context(|| format!("read {}", path.display()))?;
            if let Some(name) = manifest["package"]["name"].as_str() {
                let folder = path.parent().expect("a file has a folder");
                let folder = folder.strip_prefix(root).unwrap_or(folder);
                found.push((name.to_string(), folder.to_path_buf()));
            }
        }
    }
    Ok(found)
}

/// The first port from [`FIRST_PORT`] on that no listing has as its default.
fn free_port(root: &Path) -> Result<u16> {
    let mut taken = BTreeSet::new();
    for path in files_below(&root.join("listings"))? {
        if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path)?;
            for (at, host) in text.match_indices("127.0.0.1:") {
                let digits: String = text[at + host.len()..]
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                taken.extend(digits.parse::<u16>());
            }
        }
    }
    (FIRST_PORT..8000)
        .find(|port| !taken.contains(port))
        .context("no default port is left between 7001 and 7999")
}

/// Makes the listings of this chapter's part members of the workspace; tells whether that was needed.
fn add_member(root: &Path, chapter: &str) -> Result<bool> {
    let path = root.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut manifest: DocumentMut = text
        .parse()
        .with_context(|| format!("read {}", path.display()))?;
    // `tcp/echo` is covered by `listings/tcp/*/*`, `getting-started` by `listings/getting-started/*`.
    let pattern = match chapter.split_once('/') {
        Some((part, _)) => format!("listings/{part}/*/*"),
        None => format!("listings/{chapter}/*"),
    };
    let members = manifest["workspace"]["members"]
        .as_array_mut()
        .with_context(|| format!("no list of members in {}", path.display()))?;
    if members
        .iter()
        .any(|member| member.as_str() == Some(&pattern))
    {
        return Ok(false);
    }
    let after = members
        .iter()
        .take_while(|member| member.as_str().is_some_and(|m| m.starts_with("listings/")))
        .count();
    members.insert(after, pattern);
    fs::write(&path, manifest.to_string()).with_context(|| format!("write {}", path.display()))?;
    Ok(true)
}

/// Every file below `folder`, sorted; none if there is no such folder.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = Vec::new();
    if folder.exists() {
        folders.push(folder.to_path_buf());
    }
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
