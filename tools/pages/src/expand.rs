//! Pages as their reader sees them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use mdbook_driver::MDBook;
use mdbook_driver::builtin_renderers::MarkdownRenderer;

use crate::{Block, Book, Page};

/// A Rust block of a page, with its includes in place.
#[derive(Debug, Clone)]
pub struct Snippet {
    /// The page, relative to the root of the repository.
    pub page: PathBuf,
    /// The line of the opening fence on that page.
    pub line: usize,
    /// The file of the first include in the block, relative to the page's folder.
    pub from: Option<String>,
    /// The block, lines that the page hides included, with the `# ` before them.
    pub block: Block,
}

/// Runs mdBook's own preprocessors over the book, as a build does; returns path and text of each page.
pub fn expand(book: &Book) -> Result<Vec<(PathBuf, String)>> {
    let (expanded, _) = MDBook::load(&book.root)?.preprocess_book(&MarkdownRenderer::new())?;
    Ok(expanded
        .chapters()
        .filter_map(|chapter| {
            let path = chapter.source_path.as_ref()?;
            Some((PathBuf::from("src").join(path), chapter.content.clone()))
        })
        .collect())
}

/// Every Rust block of the book, expanded, with the line on which it stands in the source.
pub fn snippets(book: &Book) -> Result<Vec<Snippet>> {
    let mut found = Vec::new();
    for (path, text) in expand(book)? {
        let Some(source) = book.pages.iter().find(|page| page.path == path) else {
            continue;
        };
        // Includes stand inside of blocks, so a page has the same blocks before and after.
        let expanded = Page::parse(path.clone(), text);
        ensure!(
            source.blocks.len() == expanded.blocks.len(),
            "{}: an include brings or hides a code fence; include code inside of a block only",
            path.display()
        );
        for (before, after) in source.blocks.iter().zip(expanded.blocks) {
            if !before.is_rust() {
                continue;
            }
            let end = before.line + 1 + before.text.lines().count();
            found.push(Snippet {
                page: path.clone(),
                line: before.line,
                from: source
                    .includes
                    .iter()
                    .find(|include| (before.line..end).contains(&include.line))
                    .map(|include| include.path.clone()),
                block: after,
            });
        }
    }
    Ok(found)
}
