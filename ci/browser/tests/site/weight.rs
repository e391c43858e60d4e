//! A page is light, with everything that it loads.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use browser::site::Site;

/// Bytes, compressed.
const LIMIT: usize = 130_000;

#[test]
fn a_page_weighs_at_most_130_kb_with_everything_that_it_loads() -> Result<()> {
    crate::check("weight", &[], weigh_all)
}

fn weigh_all() -> Result<()> {
    let site = Site::built()?;
    let mut pages = site.html_files()?;
    // The whole book on one page grows with the book, and nobody opens it by accident.
    pages.remove("print.html");

    let mut weights = Vec::new();
    let mut problems = Vec::new();
    let mut known = BTreeMap::new();
    for page in pages {
        match weigh(&site, &page, &mut known) {
            Ok((weight, parts)) if weight > LIMIT => problems.push(format!(
                "{page} weighs {weight} bytes, and {LIMIT} are allowed:\n{parts}"
            )),
            Ok((weight, parts)) => weights.push((weight, page, parts)),
            Err(error) => problems.push(format!("{page}: {error:#}")),
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));

    let (weight, page, parts) = weights.iter().max().context("there are no pages")?;
    println!("the heaviest is {page} with {weight} bytes:\n{parts}");
    Ok(())
}

/// The weight of a page, and a list of its parts, the heaviest first.
fn weigh(site: &Site, page: &str, known: &mut BTreeMap<String, usize>) -> Result<(usize, String)> {
    let mut parts = Vec::new();
    for file in site.files_loaded_by(page)? {
        let size = match known.get(&file) {
            Some(size) => *size,
            None => site.compressed_size(&file)?,
        };
        known.insert(file.clone(), size);
        parts.push((size, file));
    }
    parts.sort_unstable_by(|a, b| b.cmp(a));
    let weight = parts.iter().map(|(size, _)| size).sum();
    let lines: Vec<_> = parts
        .iter()
        .map(|(size, file)| format!("{size:>8} {file}"))
        .collect();
    Ok((weight, lines.join("\n")))
}
