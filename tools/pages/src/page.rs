//! One page, taken apart by the parser that mdBook uses.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use mdbook_markdown::pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};
use mdbook_markdown::{MarkdownOptions, new_cmark_parser};
use regex::Regex;

use crate::include::Include;

/// A chapter as it stands in `src/`.
#[derive(Debug)]
pub struct Page {
    /// Relative to the root of the repository, such as `src/tcp/echo.md`.
    pub path: PathBuf,
    pub source: String,
    pub blocks: Vec<Block>,
    pub headings: Vec<Heading>,
    pub links: Vec<Link>,
    pub includes: Vec<Include>,
    /// Every id that a link may name: of headings, and of HTML on the page.
    pub ids: BTreeSet<String>,
    /// Code in running text: line and code.
    pub codes: Vec<(usize, String)>,
}

/// A fenced code block.
#[derive(Debug, Clone)]
pub struct Block {
    /// The line of the opening fence, counted from 1.
    pub line: usize,
    /// What follows the fence, such as `rust,no_run`.
    pub info: String,
    pub text: String,
}

impl Block {
    /// The words of the info string.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.info
            .split([',', ' '])
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
    }

    pub fn is_rust(&self) -> bool {
        self.tags().next() == Some("rust")
    }

    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags().any(|t| t == tag)
    }
}

#[derive(Debug, Clone)]
pub struct Heading {
    pub line: usize,
    pub text: String,
    /// The explicit id, from `{#id}`.
    pub id: Option<String>,
}

/// A link, an image, or an `href` or `src` in HTML.
#[derive(Debug, Clone)]
pub struct Link {
    pub line: usize,
    pub target: String,
}

impl Page {
    /// Takes a page apart. `path` is relative to the root of the repository.
    pub fn parse(path: PathBuf, source: String) -> Page {
        let mut page = Page {
            includes: Include::find(&source),
            path,
            source,
            blocks: Vec::new(),
            headings: Vec::new(),
            links: Vec::new(),
            ids: BTreeSet::new(),
            codes: Vec::new(),
        };
        page.read();
        page
    }

    fn read(&mut self) {
        let mut options = MarkdownOptions::default();
        options.smart_punctuation = false;
        let lines = Lines::of(&self.source);
        let mut block: Option<Block> = None;
        let mut heading: Option<Heading> = None;
        for (event, range) in new_cmark_parser(&self.source, &options).into_offset_iter() {
            let line = lines.number(range.start);
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    block = Some(Block {
                        line,
                        info: match kind {
                            CodeBlockKind::Fenced(info) => info.to_string(),
                            CodeBlockKind::Indented => String::new(),
                        },
                        text: String::new(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => self.blocks.extend(block.take()),
                Event::Start(Tag::Heading { id, .. }) => {
                    let id = id.map(|id| id.to_string());
                    self.ids.extend(id.clone());
                    heading = Some(Heading {
                        line,
                        text: String::new(),
                        id,
                    });
                }
                Event::End(TagEnd::Heading(_)) => self.headings.extend(heading.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    self.links.push(Link {
                        line,
                        target: dest_url.to_string(),
                    });
                }
                Event::Text(text) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&text);
                        continue;
                    }
                    if let Some(heading) = &mut heading {
                        heading.text.push_str(&text);
                    }
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.text.push_str(&code);
                    }
                    self.codes.push((line, code.to_string()));
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| {
                        Regex::new(r#"\b(id|href|src)="([^"]*)""#).expect("a valid pattern")
                    });
                    for captures in ATTRIBUTE.captures_iter(&html) {
                        let value = captures[2].to_string();
                        if &captures[1] == "id" {
                            self.ids.insert(value);
                        } else {
                            self.links.push(Link {
                                line,
                                target: value,
                            });
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Turns an offset in bytes into a line number.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|&newline| newline < offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_the_line_it_stands_on() {
        let source = "# Title {#top}\n\nSee [this](a.md#x) and\n![that](b.svg).\n\n```rust,no_run\nfn main() {}\n```\n\n<p id=\"here\"></p>\n";
        let page = Page::parse("src/p.md".into(), source.to_string());
        assert_eq!(page.headings[0].id.as_deref(), Some("top"));
        assert_eq!(page.headings[0].text, "Title");
        let links: Vec<_> = page
            .links
            .iter()
            .map(|link| (link.line, link.target.as_str()))
            .collect();
        assert_eq!(links, [(3, "a.md#x"), (4, "b.svg")]);
        assert_eq!(page.blocks[0].line, 6);
        assert!(page.blocks[0].is_rust() && page.blocks[0].has_tag("no_run"));
        assert_eq!(page.blocks[0].text, "fn main() {}\n");
        assert!(page.ids.contains("here") && page.ids.contains("top"));
    }
}
