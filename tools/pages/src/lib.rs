//! Reads the pages of the book: chapters, code blocks, includes, links, each with its file and line.
//!
//! [`Book::load`] reads what `SUMMARY.md` names, [`check`] finds the mistakes that stop a build, and
//! [`expand`] gives each page as its reader sees it, with every include in place.

mod check;
mod expand;
mod include;
mod page;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use mdbook_summary::{Summary, SummaryItem, parse_summary};

pub use check::{check, check_ids, check_includes, check_links};
pub use expand::{Snippet, expand, snippets};
pub use include::{FIGURES, Include, IncludeKind, Part, anchors};
pub use page::{Block, Heading, Link, Page};

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Relative to the root of the repository.
    pub file: PathBuf,
    /// Counted from 1; 0 means the file as a whole.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Problem {
    /// A problem at a line of a file; `line` 0 means the file as a whole.
    pub fn new(file: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Problem {
        Problem {
            file: file.into(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.to_string_lossy().replace('\\', "/");
        match self.line {
            0 => write!(f, "{file}: {}", self.message),
            line => write!(f, "{file}:{line}: {}", self.message),
        }
    }
}

/// The pages of the book, in the order of `SUMMARY.md`.
#[derive(Debug)]
pub struct Book {
    /// The root of the repository.
    pub root: PathBuf,
    /// The chapters that are written.
    pub pages: Vec<Page>,
    /// Every file under `src/`, relative to the root.
    pub files: BTreeSet<PathBuf>,
}

impl Book {
    /// Reads `src/SUMMARY.md` and the chapters it names. Fails with file and line when one can't be read.
    pub fn load(root: impl Into<PathBuf>) -> Result<Book> {
        let root = root.into();
        let summary_path = Path::new("src").join("SUMMARY.md");
        let summary_text = std::fs::read_to_string(root.join(&summary_path))
            .with_context(|| format!("read {}", root.join(&summary_path).display()))?;
        let summary = parse_summary(&summary_text).map_err(|error| {
            anyhow!(Problem::new(&summary_path, 0, format!("{error:#}")).to_string())
        })?;

        let mut pages = Vec::new();
        for location in locations(&summary) {
            let path = Path::new("src").join(&location);
            let source = std::fs::read_to_string(root.join(&path)).map_err(|error| {
                let name = location.to_string_lossy();
                let line = summary_text
                    .lines()
                    .position(|line| line.contains(&format!("({name})")))
                    .map_or(0, |index| index + 1);
                let message = format!("the chapter {name} can't be read: {error}");
                anyhow!(Problem::new(&summary_path, line, message).to_string())
            })?;
            pages.push(Page::parse(path, source));
        }
        let mut files = BTreeSet::new();
        list_files(&root, Path::new("src"), &mut files)?;
        Ok(Book { root, pages, files })
    }
}

/// The chapters of a summary that have a file, in reading order.
fn locations(summary: &Summary) -> Vec<PathBuf> {
    fn walk(items: &[SummaryItem], found: &mut Vec<PathBuf>) {
        for item in items {
            if let SummaryItem::Link(link) = item {
                found.extend(link.location.clone());
                walk(&link.nested_items, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(&summary.prefix_chapters, &mut found);
    walk(&summary.numbered_chapters, &mut found);
    walk(&summary.suffix_chapters, &mut found);
    found
}

/// Adds every file below `root/folder` to `found`, as a path relative to `root`.
fn list_files(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(root.join(folder))
        .with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list_files(root, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

/// `base` joined with a relative path, with `.` and `..` resolved by name alone.
/// `None` if it leaves the place it started from.
pub fn join_relative(base: &Path, relative: &str) -> Option<PathBuf> {
    let mut path = base.to_path_buf();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if !path.pop() {
                    return None;
                }
            }
            name => path.push(name),
        }
    }
    Some(path)
}
