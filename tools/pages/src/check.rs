//! The mistakes that stop a build. mdBook itself would log them, or say nothing, and go on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use http::Uri;

use crate::include::{FIGURES, Include, IncludeKind, Part, anchors};
use crate::{Book, Page, Problem, join_relative};

/// Every mistake that stops a build, in the order of the pages.
pub fn check(book: &Book) -> Vec<Problem> {
    let mut problems = check_includes(book);
    problems.extend(check_links(book));
    problems.extend(check_ids(book));
    problems.sort();
    problems
}

/// Every include names a file, and an anchor in it, that exist.
pub fn check_includes(book: &Book) -> Vec<Problem> {
    let mut texts: HashMap<PathBuf, Result<String, String>> = HashMap::new();
    let mut problems = Vec::new();
    for page in &book.pages {
        for include in &page.includes {
            if let Err(message) = check_include(book, page, include, &mut texts) {
                problems.push(Problem::new(&page.path, include.line, message));
            }
        }
    }
    problems
}

fn check_include(
    book: &Book,
    page: &Page,
    include: &Include,
    texts: &mut HashMap<PathBuf, Result<String, String>>,
) -> Result<(), String> {
    if let IncludeKind::Unknown(name) = &include.kind {
        return Err(format!(
            "unknown directive {{{{#{name}}}}}; known are include, rustdoc_include, title, {}",
            FIGURES.join(", ")
        ));
    }
    if let IncludeKind::Figure(_) = &include.kind {
        return Ok(()); // who draws it says what is wrong with it
    }
    let folder = page.path.parent().expect("a page lies in src/");
    let path = join_relative(folder, &include.path)
        .ok_or_else(|| format!("the include {} leaves the repository", include.path))?;
    let text = texts
        .entry(path.clone())
        .or_insert_with(|| {
            std::fs::read_to_string(book.root.join(&path)).map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(|error| format!("can't include {}: {error}", show(&path)))?;
    match &include.part {
        Part::Whole => Ok(()),
        Part::Lines(lines) => Err(format!(
            "{}:{lines} includes by line number, which shifts when the file changes; use an anchor",
            show(&path)
        )),
        Part::Anchor(name) => {
            let anchors = anchors(text);
            match anchors.get(name) {
                Some((_, true)) => Ok(()),
                Some((line, false)) => Err(format!(
                    "the anchor {name} starts at {}:{line} and never ends; add ANCHOR_END: {name}",
                    show(&path)
                )),
                None if anchors.is_empty() => Err(format!(
                    "no anchor {name} in {}, which has none at all",
                    show(&path)
                )),
                None => Err(format!(
                    "no anchor {name} in {}; it has {}",
                    show(&path),
                    anchors.keys().cloned().collect::<Vec<_>>().join(", ")
                )),
            }
        }
    }
}

/// Every link inside the book leads to a page or file, and to an id on it; others are well-formed https.
pub fn check_links(book: &Book) -> Vec<Problem> {
    let pages: HashMap<&Path, &Page> = book
        .pages
        .iter()
        .map(|page| (page.path.as_path(), page))
        .collect();
    let mut problems = Vec::new();
    for page in &book.pages {
        for link in &page.links {
            if let Err(message) = check_link(book, &pages, page, &link.target) {
                problems.push(Problem::new(&page.path, link.line, message));
            }
        }
    }
    problems
}

fn check_link(
    book: &Book,
    pages: &HashMap<&Path, &Page>,
    page: &Page,
    target: &str,
) -> Result<(), String> {
    if let Some((scheme, _)) = target.split_once(':')
        && scheme.chars().all(|c| c.is_ascii_alphanumeric())
    {
        if scheme != "https" {
            return Err(format!("link {target}: use https instead of {scheme}"));
        }
        let uri: Uri = target
            .parse()
            .map_err(|error| format!("link {target}: {error}"))?;
        // A port may follow the host, and nothing else: `Uri` takes any word for one.
        let is_public =
            |host: &str, all: &str| host.contains('.') && (all == host || uri.port_u16().is_some());
        return match uri.authority() {
            Some(all) if is_public(all.host(), all.as_str()) => Ok(()),
            _ => Err(format!("link {target}: the host is no public name")),
        };
    }
    let (file, id) = match target.split_once('#') {
        Some((file, id)) => (file, Some(id)),
        None => (target, None),
    };
    let folder = page.path.parent().expect("a page lies in src/");
    let path = if file.is_empty() {
        page.path.clone()
    } else {
        join_relative(folder, file)
            .filter(|path| path.starts_with("src"))
            .ok_or_else(|| format!("link {target} leaves the book"))?
    };
    match (pages.get(path.as_path()), id) {
        (Some(_), None) => Ok(()),
        (Some(to), Some(id)) if to.ids.contains(id) => Ok(()),
        (Some(_), Some(id)) => Err(format!("link {target}: no id {id} in {}", show(&path))),
        (None, _) if path.extension().is_some_and(|ext| ext == "md") => Err(format!(
            "link {target}: {} is no chapter of SUMMARY.md",
            show(&path)
        )),
        (None, _) if book.files.contains(&path) => Ok(()),
        (None, _) => Err(format!("link {target}: there is no {}", show(&path))),
    }
}

/// Every heading has an id of its own, so that links to it survive a new title or a translation.
pub fn check_ids(book: &Book) -> Vec<Problem> {
    let mut problems = Vec::new();
    for page in &book.pages {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for heading in &page.headings {
            let Some(id) = &heading.id else {
                problems.push(Problem::new(
                    &page.path,
                    heading.line,
                    format!(
                        "the heading {:?} has no id; end its line with {{#some-id}}",
                        heading.text
                    ),
                ));
                continue;
            };
            if let Some(first) = seen.insert(id, heading.line) {
                problems.push(Problem::new(
                    &page.path,
                    heading.line,
                    format!("the id {id} is already that of the heading in line {first}"),
                ));
            }
        }
    }
    problems
}

fn show(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
