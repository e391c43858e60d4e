//! Hands the pages, as their reader sees them, to skeptic, and gives each test the name of its place.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use pages::{Book, Snippet};

include!("template.rs");

/// How long a snippet may run, in seconds. All of them take milliseconds.
const DEADLINE: u64 = 10;

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = package.join("../..").canonicalize()?;
    for watched in ["src", "listings", "book.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-changed=Cargo.toml");
    println!("cargo::rerun-if-changed=template.rs");
    println!("cargo::rustc-env=TARGET={}", env::var("TARGET")?);
    println!(
        "cargo::rustc-env=SNIPPET_CRATES={}",
        allowed_crates(&package)?
    );

    // A mistake in a page must fail as a test that names it, not as a build that nobody can read.
    let tests = match generate(&root, &out) {
        Ok(tests) => tests,
        Err(error) => format!(
            "#[test] fn the_pages_can_be_read() {{ panic!({:?}) }}\n",
            format!("{error:#}")
        ),
    };
    fs::write(out.join("pages.rs"), tests)?;
    Ok(())
}

/// The names in `[dependencies]`, and in those of one system, as Rust code spells them.
fn allowed_crates(package: &Path) -> Result<String> {
    let manifest: toml_edit::DocumentMut =
        fs::read_to_string(package.join("Cargo.toml"))?.parse()?;
    let everywhere = manifest["dependencies"]
        .as_table()
        .context("no [dependencies]")?;
    let systems = manifest.get("target").and_then(|item| item.as_table());
    let names: Vec<String> = systems
        .into_iter()
        .flatten()
        .filter_map(|(_, system)| system.get("dependencies")?.as_table())
        .chain([everywhere])
        .flatten()
        .map(|(name, _)| name.replace('-', "_"))
        .collect();
    Ok(names.join(","))
}

fn generate(root: &Path, out: &Path) -> Result<String> {
    let book = Book::load(root)?;
    let problems = pages::check_includes(&book);
    ensure!(
        problems.is_empty(),
        "{}",
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    );
    let (broken, sound): (Vec<Snippet>, Vec<Snippet>) = pages::snippets(&book)?
        .into_iter()
        .partition(|snippet| snippet.block.has_tag("compile_fail"));

    let mut documents: Vec<(String, String)> = Vec::new();
    for snippet in &sound {
        let name = stem(snippet);
        if documents.last().is_none_or(|(last, _)| *last != name) {
            let template = template(DEADLINE);
            documents.push((name, format!("```rust,skeptic-template\n{template}```\n\n")));
        }
        let text = &mut documents.last_mut().expect("one was pushed").1;
        // More backticks than any line of code begins with.
        writeln!(
            text,
            "``````{}\n{}``````\n",
            snippet.block.info,
            program(snippet)
        )?;
    }
    let folder = out.join("pages");
    fs::create_dir_all(&folder)?;
    let mut files = Vec::new();
    for (name, text) in documents {
        let path = folder.join(name + ".md");
        write_unnoticed(&path, &text)?;
        files.push(path);
    }
    skeptic::generate_doc_tests(&files);

    let generated = if files.is_empty() {
        String::new()
    } else {
        fs::read_to_string(out.join("skeptic-tests.rs"))?
    };
    let mut tests = name_places(&generated, &sound)?;
    for snippet in &broken {
        let code = snippet
            .block
            .tags()
            .find(|tag| tag.starts_with('E'))
            .unwrap_or("");
        writeln!(
            tests,
            "{}#[test] fn {}() {{\n{}    support::fails_to_compile({code:?}, {:?});\n}}\n",
            needs(snippet),
            test_name(snippet),
            place(snippet),
            visible_and_hidden(&snippet.block.text),
        )?;
    }
    Ok(tests)
}

/// Gives each generated test the name of its page and line, and the words to say when it fails.
fn name_places(generated: &str, snippets: &[Snippet]) -> Result<String> {
    let mut tests = String::new();
    let mut places = snippets.iter();
    for line in generated.lines() {
        // A line of a snippet can't look like this: it stands at its start, after the attribute.
        if line.starts_with("#[test] fn ") && line.ends_with("() {") {
            let snippet = places
                .next()
                .context("skeptic made more tests than there are snippets")?;
            writeln!(
                tests,
                "{}#[test] fn {}() {{\n{}",
                needs(snippet),
                test_name(snippet),
                place(snippet)
            )?;
        } else {
            // The call at the end of a test. A snippet would have to be about skeptic to hold such a line.
            let call = ["run_test", "compile_test"]
                .iter()
                .any(|name| line.starts_with(&format!("    skeptic::rt::{name}(")))
                && line.ends_with(", s);");
            let line = if call {
                line.replacen("skeptic::rt", "support", 1)
            } else {
                line.to_string()
            };
            writeln!(tests, "{line}")?;
        }
    }
    let left = places.count();
    ensure!(
        left == 0,
        "skeptic left out {left} of {} snippets",
        snippets.len()
    );
    Ok(tests)
}

/// Some programs use what only Unix has.
fn needs(snippet: &Snippet) -> &'static str {
    let text = &snippet.block.text;
    if text.contains("std::os::unix") || text.contains("std::os::fd") {
        "#[cfg_attr(not(unix), ignore = \"needs Unix\")] "
    } else {
        ""
    }
}

fn stem(snippet: &Snippet) -> String {
    let path = snippet.page.with_extension("");
    path.components()
        .skip(1)
        .map(|part| part.as_os_str().to_string_lossy().replace('-', "_"))
        .collect::<Vec<_>>()
        .join("_")
}

fn test_name(snippet: &Snippet) -> String {
    format!("{}_line_{}", stem(snippet), snippet.line)
}

/// The first line of a test: remembers where the snippet stands.
fn place(snippet: &Snippet) -> String {
    let page = snippet.page.to_string_lossy().replace('\\', "/");
    let from = snippet.from.as_deref().unwrap_or("the page itself");
    format!(
        "    let _place = support::Place::new({page:?}, {}, {from:?});\n",
        snippet.line
    )
}

/// A part of a library has no `main`; one that does nothing makes it a program that can be compiled.
fn program(snippet: &Snippet) -> String {
    let text = &snippet.block.text;
    if text.contains("fn main(") {
        text.clone()
    } else {
        format!("{text}\nfn main() {{}}\n")
    }
}

/// The text without the `# ` that hides a line on the page.
fn visible_and_hidden(text: &str) -> String {
    text.lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .map(|line| if line == "#" { "" } else { line })
        .fold(String::new(), |text, line| text + line + "\n")
}

/// Writes a file without looking changed: cargo would run this script again because of what it wrote.
fn write_unnoticed(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options()
        .write(true)
        .open(path)?
        .set_modified(long_ago)?;
    Ok(())
}
