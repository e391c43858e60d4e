//! The script that colours code knows the languages of this book, and no others: mdBook's own has fifty.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use browser::site::{Site, root};

/// What a block says after its three backticks, and what the script calls it. One may need another.
const LANGUAGES: [(&str, &[&str]); 6] = [
    ("c", &["c-like", "c"]),
    ("console", &["shell", "bash"]),
    ("json", &["json"]),
    ("python", &["python"]),
    ("rust", &["rust"]),
    ("toml", &["ini"]),
];

/// Where our part of `theme/highlight.js` begins.
const OURS: &str = "// From here on it is ours";

/// `theme/highlight.js` is mdBook's own, less the lines of other languages, and then ours. With `WRITE_HIGHLIGHT` in the
/// environment mdBook's part is written anew.
#[test]
fn code_is_coloured_by_mdbooks_script_with_the_languages_of_the_pages() -> Result<()> {
    crate::check("highlight", &[], compare)
}

fn compare() -> Result<()> {
    let mut used = BTreeSet::from(["plaintext"]);
    let pages = pages::Book::load(root())?;
    let blocks = pages.pages.iter().flat_map(|page| page.source.lines());
    for name in blocks.filter_map(|line| line.trim_start().strip_prefix("```")) {
        let name = name.split(',').next().unwrap_or_default();
        if name.is_empty() || name == "text" {
            continue;
        }
        let known = LANGUAGES.iter().find(|(known, _)| *known == name);
        let (_, needed) = known.with_context(|| {
            format!("pages have blocks of {name}, which LANGUAGES in ci/browser/tests/site/highlight.rs does not know")
        })?;
        used.extend(*needed);
    }
    let site = Site::build_without_theme()?;
    let whole = site.read("highlight.js")?;
    let wanted: Vec<&str> = whole
        .lines()
        .filter(|line| {
            let language = line
                .strip_prefix("hljs.registerLanguage(\"")
                .and_then(|rest| rest.split('"').next());
            language.is_none_or(|language| used.contains(language))
        })
        .collect();
    let path = Path::new("theme/highlight.js");
    let written = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let ours = written
        .find(OURS)
        .with_context(|| format!("{} has no line that begins with {OURS:?}", path.display()))?;
    let wanted = format!("{}\n{}", wanted.join("\n"), &written[ours..]);
    if std::env::var_os("WRITE_HIGHLIGHT").is_some() {
        std::fs::write(root().join(path), &wanted)?;
        return Ok(());
    }
    assert!(
        written == wanted,
        "{} is not mdBook's script with the languages {used:?} before our part; write it with: WRITE_HIGHLIGHT=1 cargo test -p browser highlight",
        path.display()
    );
    Ok(())
}
