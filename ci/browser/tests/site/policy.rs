//! The Content-Security-Policy in `theme/head.hbs` allows what mdBook writes into a page, and
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use browser::html::Html;
use browser::site::Site;
use sha2::{Digest, Sha256};

const FILE: &str = "theme/head.hbs";

/// What mdBook can write into a style attribute, on some page or while searching.
const STYLES_OF_MDBOOK: [&str; 6] = [
    "clear: both",
    "break-before: page; page-break-before: always;",
    "text-align: left",
    "text-align: center",
    "text-align: right",
    "position: absolute; opacity: 0;",
];

/// How deep in folders a page may lie: each depth has its own script, which names the way up.
const DEPTHS: usize = 2;

/// Code that stands in a page, and where, by the source that allows it.
type Needed = BTreeMap<String, (String, String)>;

#[test]
fn the_policy_allows_the_inline_scripts_and_styles_of_mdbook_and_nothing_else() -> Result<()> {
    crate::check("policy", &[], look_at_policies)
}

fn look_at_policies() -> Result<()> {
    let mut policy = None;
    let mut scripts = Needed::new();
    let mut styles = Needed::new();
    let mut problems = BTreeSet::new();

    for site in [Site::built()?, Arc::new(Site::build_live()?)] {
        for file in site.html_files()? {
            let html = Html::parse(&site.read(&file)?);
            if html.is_redirect {
                continue;
            }
            match (html.policy, &policy) {
                (None, _) => {
                    problems.insert(format!("{file} has no policy: {FILE} should write it"));
                }
                (Some(this), None) => policy = Some(this),
                (Some(this), Some(first)) => {
                    if without_base(&this) != without_base(first) {
                        problems.insert(format!("{file} has another policy than the first page"));
                    }
                }
            }
            for handler in html.handlers {
                problems.insert(format!(
                    "{file}: the policy refuses {handler}: let theme/page.js add a listener"
                ));
            }
            for script in html.inline_scripts {
                add(&mut scripts, script.clone(), &file);
                for depth in 1..=DEPTHS {
                    let place = format!("a page that lies {depth} deep in folders");
                    add(&mut scripts, at_depth(&script, depth), &place);
                }
            }
            for style in html.style_attributes.into_iter().chain(html.style_elements) {
                add(&mut styles, style, &file);
            }
        }
    }
    for style in STYLES_OF_MDBOOK {
        add(&mut styles, style.to_owned(), "mdBook");
    }

    let policy = policy.context("no page has a policy")?;
    let directives = directives(&policy);
    if directives.get("default-src") != Some(&BTreeSet::from(["'none'"])) {
        problems.insert(format!(
            "{FILE}: default-src must be 'none', for what is not named"
        ));
    }
    for (directive, sources) in &directives {
        for source in sources {
            let is_strict = match *source {
                "'none'" | "'self'" => true,
                // It makes a hash count for an attribute, and allows nothing by itself.
                "'unsafe-hashes'" => *directive == "style-src",
                _ => is_hash(source),
            };
            if !is_strict {
                problems.insert(format!("{FILE}: {directive} must not have {source}"));
            }
        }
    }
    for (directive, ours, needed) in [
        ("script-src", "theme/page.js", scripts),
        ("style-src", "theme/page.css", styles),
    ] {
        let allowed = directives
            .get(directive)
            .with_context(|| format!("the policy has no {directive}"))?;
        for (source, (code, place)) in &needed {
            if !allowed.contains(source.as_str()) {
                problems.insert(format!(
                    "{place}: the policy refuses this. If it is mdBook's, add to {directive} in \
                     {FILE}\n    {source}\nIf it is ours, move it to {ours}:\n    {}\n",
                    code.trim()
                ));
            }
        }
        for source in allowed.iter().filter(|source| is_hash(source)) {
            if !needed.contains_key(*source) {
                problems.insert(format!(
                    "{FILE}: take out of {directive}, for no page needs it:\n    {source}\n"
                ));
            }
        }
    }
    let problems: Vec<_> = problems.into_iter().collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    Ok(())
}

fn add(needed: &mut Needed, code: String, place: &str) {
    let source = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(&code)));
    needed.entry(source).or_insert((code, place.to_owned()));
}

fn is_hash(source: &str) -> bool {
    source.starts_with("'sha256-")
}

/// mdBook's script that names the way up, as it would be in a page deeper down. No other changes.
fn at_depth(script: &str, depth: usize) -> String {
    let up = "../".repeat(depth);
    script
        .replace("path_to_root = \"\"", &format!("path_to_root = \"{up}\""))
        .replace("\"searchindex.js\"", &format!("\"{up}searchindex.js\""))
}

fn directives(policy: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let directives = policy.split(';').map(str::split_whitespace);
    directives
        .filter_map(|mut words| Some((words.next()?, words.collect())))
        .collect()
}

/// The 404 page may have a `<base>`, because it is shown at any depth; the others may not.
fn without_base(policy: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut directives = directives(policy);
    directives.remove("base-uri");
    directives
}
