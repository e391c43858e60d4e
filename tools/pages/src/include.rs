//! Directives such as `{{#include PATH:anchor}}`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// A directive in double braces, as mdBook understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Counted from 1.
    pub line: usize,
    pub kind: IncludeKind,
    /// As it stands on the page: relative to the page's folder, `/` between parts.
    pub path: String,
    pub part: Part,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncludeKind {
    /// `include`: the part alone.
    Plain,
    /// `rustdoc_include`: the part, with the rest of the file hidden but compiled.
    Rustdoc,
    /// A figure: the path is that of a scene.
    Figure(String),
    /// Anything that is none of the above, nor `title`.
    Unknown(String),
}

/// The directives that stand for a figure.
pub const FIGURES: [&str; 10] = [
    "ladder",
    "calls",
    "console",
    "dissection",
    "flight",
    "states",
    "totals",
    "boundaries",
    "waits",
    "measured",
];

/// Which part of the file is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Whole,
    Anchor(String),
    /// Line numbers, which shift when the file changes.
    Lines(String),
}

impl Include {
    /// Finds the directives of a page. Escaped ones and `{{#title …}}` are left out.
    pub fn find(source: &str) -> Vec<Include> {
        static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(\\)?\{\{\s*#\s*([A-Za-z0-9_-]*)([^}]*)\}\}").expect("a valid pattern")
        });
        let mut found = Vec::new();
        for captures in DIRECTIVE.captures_iter(source) {
            let whole = captures.get(0).expect("group 0 is the match");
            if captures.get(1).is_some() || &captures[2] == "title" {
                continue;
            }
            let kind = match &captures[2] {
                "include" => IncludeKind::Plain,
                "rustdoc_include" => IncludeKind::Rustdoc,
                name if FIGURES.contains(&name) => IncludeKind::Figure(name.to_string()),
                other => IncludeKind::Unknown(other.to_string()),
            };
            let mut targets: Vec<&str> = captures[3].split_whitespace().collect();
            // A figure may show several scenes; behind them come other words.
            let count = match kind {
                IncludeKind::Figure(_) => targets
                    .iter()
                    .take_while(|word| word.ends_with(".toml"))
                    .count(),
                _ => 1,
            };
            targets.truncate(count.max(1));
            if targets.is_empty() {
                targets.push("");
            }
            for target in targets {
                let (path, part) = match target.split_once(':') {
                    None => (target, Part::Whole),
                    Some((path, part))
                        if part.starts_with(|c: char| c.is_ascii_digit() || c == ':') =>
                    {
                        (path, Part::Lines(part.to_string()))
                    }
                    Some((path, part)) => (path, Part::Anchor(part.to_string())),
                };
                found.push(Include {
                    line: source[..whole.start()].matches('\n').count() + 1,
                    kind: kind.clone(),
                    path: path.to_string(),
                    part,
                });
            }
        }
        found
    }
}

/// The anchors of a file: name to the line where it starts, and whether it also ends.
pub fn anchors(text: &str) -> BTreeMap<String, (usize, bool)> {
    static MARK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"ANCHOR(_END)?:\s*([\w-]+)").expect("a valid pattern"));
    let mut found: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        for captures in MARK.captures_iter(line) {
            let name = captures[2].to_string();
            match captures.get(1) {
                None => {
                    found.entry(name).or_insert((index + 1, false));
                }
                Some(_) => {
                    if let Some((_, ended)) = found.get_mut(&name) {
                        *ended = true;
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_found_with_their_line() {
        let page = "a\n{{#include x/y.rs}}\n\\{{#include no.rs}}\n{{ #rustdoc_include z.rs:part }}\n{{#embed q.rs}}\n";
        let found = Include::find(page);
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].line, found[0].path.as_str()), (2, "x/y.rs"));
        assert_eq!(found[0].part, Part::Whole);
        assert_eq!(found[1].kind, IncludeKind::Rustdoc);
        assert_eq!(found[1].part, Part::Anchor("part".to_string()));
        assert_eq!(found[2].kind, IncludeKind::Unknown("embed".to_string()));
        assert_eq!(found[2].line, 5);
    }

    #[test]
    fn an_anchor_that_never_ends_is_told_apart() {
        let found = anchors("// ANCHOR: a\n// ANCHOR: b\n// ANCHOR_END: a\n");
        assert_eq!(found["a"], (1, true));
        assert_eq!(found["b"], (2, false));
    }
}
