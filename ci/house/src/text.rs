//! What a tool can say of the text itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Result;
use pages::Problem;
use regex::Regex;
use typos::tokens::{Identifier, Tokenizer, Word};
use typos::{Dictionary, Status};
use unicase::UniCase;

use crate::House;

/// Words that the dictionary takes for misspelt and that are meant.
const MEANT: [&str; 4] = [
    "existant", // a variable in mdBook's style sheet
    "flate",    // the crate flate2
    "inh",      // the flag --inh-caps of setpriv
    "rto",      // TCP_RTO_MIN of Linux
];

/// Every page is a chapter of the summary. (That every chapter has a page is checked as the book is read.)
pub fn chapters_and_files_match(house: &House) -> Vec<Problem> {
    let chapters: BTreeSet<&PathBuf> = house.book.pages.iter().map(|page| &page.path).collect();
    let mut problems: Vec<Problem> = house
        .book
        .files
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .filter(|path| !chapters.contains(path) && path.as_path() != Path::new("src/SUMMARY.md"))
        .map(|path| {
            Problem::new(
                path,
                0,
                "no entry of src/SUMMARY.md leads to this page; add one",
            )
        })
        .collect();
    let mut seen = BTreeSet::new();
    for page in &house.book.pages {
        if !seen.insert(&page.path) {
            problems.push(Problem::new(
                &page.path,
                0,
                "src/SUMMARY.md names this page twice",
            ));
        }
    }
    problems
}

/// A document's links to files of the repository lead to files that are there; others are https.
pub fn document_links(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    for document in &house.documents {
        for link in &document.links {
            let file = link.target.split('#').next().unwrap_or_default();
            if !link.target.starts_with("https://") && !house.root.join(file).exists() {
                let message = format!(
                    "link {}: there is no such file, and no https address",
                    link.target
                );
                problems.push(Problem::new(&document.path, link.line, message));
            }
        }
    }
    problems
}

/// Nothing is misspelt, as far as a dictionary of common mistakes knows.
pub fn spelling(house: &House) -> Result<Vec<Problem>> {
    let tokenizer = Tokenizer::new();
    let mut problems = Vec::new();
    for path in house.text_files()? {
        let Ok(text) = fs::read_to_string(house.root.join(&path)) else {
            problems.push(Problem::new(&path, 0, "is no UTF-8 text"));
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for typo in typos::check_str(line, &tokenizer, &CommonMistakes) {
                let instead = match &typo.corrections {
                    Status::Corrections(words) => words.join(" or "),
                    _ => "another word".to_string(),
                };
                problems.push(Problem::new(
                    &path,
                    index + 1,
                    format!(
                        "{:?} should be {instead}; if it is meant, add it to MEANT in ci/house/src/text.rs",
                        typo.typo
                    ),
                ));
            }
        }
    }
    Ok(problems)
}

/// The dictionary of the `typos` spell checker.
struct CommonMistakes;

impl Dictionary for CommonMistakes {
    fn correct_ident<'s>(&'s self, _: Identifier<'_>) -> Option<Status<'s>> {
        None
    }

    fn correct_word<'s>(&'s self, word: Word<'_>) -> Option<Status<'s>> {
        let text = word.token();
        if MEANT.iter().any(|meant| meant.eq_ignore_ascii_case(text)) {
            return Some(Status::Valid);
        }
        let corrections = typos_dict::WORD.find(&UniCase::new(text))?;
        Some(Status::Corrections(
            corrections.iter().map(|word| (*word).into()).collect(),
        ))
    }
}

/// No line ends in a space.
pub fn trailing_spaces(house: &House) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in house.text_files()? {
        let text = fs::read_to_string(house.root.join(&path)).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t']) {
                problems.push(Problem::new(
                    &path,
                    index + 1,
                    "remove the space at the end of this line",
                ));
            }
        }
    }
    Ok(problems)
}

/// How many columns of code a page shows on a laptop without scrolling sideways.
const COLUMNS: usize = 80;

/// No line of code that a page may show is wider than a page.
pub fn wide_lines(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    for listing in house.listings() {
        for path in ["src", "python", "broken"]
            .iter()
            .flat_map(|folder| listing.files(house, folder))
        {
            let text = fs::read_to_string(house.root.join(&path)).unwrap_or_default();
            for (index, line) in text.lines().enumerate() {
                let columns = line.chars().count();
                if columns > COLUMNS {
                    let message = format!(
                        "{columns} columns are too wide for a page; break the line at {COLUMNS}"
                    );
                    problems.push(Problem::new(&path, index + 1, message));
                }
            }
        }
    }
    problems
}

/// A caption is a sentence: it begins with a capital letter and ends with a full stop or a question mark.
pub fn captions(house: &House) -> Vec<Problem> {
    static CAPTION: LazyLock<Regex> = LazyLock::new(|| {
        // Of HTML, or after the scene of a figure and what else it wants.
        Regex::new(
            r"(?sx) <figcaption>(.*?)</figcaption>
            | \{\{\#(?: (?:ladder|calls|states|totals)(?:\s+\S+\.toml)+ | (?:console|flight|boundaries|waits)\s+\S+\s+\S+ | (?:dissection|measured)\s+\S+\s+\S+\s+\S+ ) \s+ ([^}]*?) \}\}",
        )
        .expect("a valid pattern")
    });
    let mut problems = Vec::new();
    for page in &house.book.pages {
        for captures in CAPTION.captures_iter(&page.source) {
            let caption = captures.get(1).or(captures.get(2));
            let caption = caption.map_or("", |caption| caption.as_str()).trim();
            let begins = caption.chars().next().is_some_and(|c| !c.is_lowercase());
            if !begins || !caption.ends_with(['.', '?']) {
                let start = captures.get(0).expect("group 0 is the match").start();
                let line = page.source[..start].matches('\n').count() + 1;
                problems.push(Problem::new(
                    &page.path,
                    line,
                    format!("the caption {caption:?} is no sentence: begin it with a capital letter, end it with a full stop"),
                ));
            }
        }
    }
    problems
}
