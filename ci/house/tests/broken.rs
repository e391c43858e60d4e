//! Each rule can fail: a small repository is broken in one place, and the rule says where and what to do.

mod support;

use std::fs;
use std::path::Path;

use house::{Exception, House, report};
use tempfile::TempDir;

const PAGE: &str = "src/tcp/hello.md";
const LISTING: &str = "listings/tcp/hello/hello";

/// A repository that keeps every rule: one page, one listing.
fn sound() -> TempDir {
    let repository = tempfile::tempdir().unwrap();
    let root = repository.path();
    support::tell_about_the_compiler(root);
    write(root, "book.toml", "[book]\ntitle = \"Hello\"\n");
    write(
        root,
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"listings/tcp/*/*\"]\n",
    );
    write(
        root,
        "src/SUMMARY.md",
        "# Summary\n\n- [Hello](tcp/hello.md)\n- [Later]()\n",
    );
    write(
        root,
        PAGE,
        "# Hello {#hello}\n\nSee [below](#code).\n\n## Code {#code}\n\n\
         ```rust\n{{#include ../../listings/tcp/hello/hello/src/main.rs:body}}\n```\n\n\
         ```console\n$ cargo run --bin hello\n```\n",
    );
    write(
        root,
        &format!("{LISTING}/Cargo.toml"),
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         description = \"Says hello\"\nlicense = \"MIT OR Apache-2.0\"\npublish = false\n",
    );
    write(
        root,
        &format!("{LISTING}/src/main.rs"),
        "// ANCHOR: body\nfn main() {\n    println!(\"hello\");\n}\n// ANCHOR_END: body\n",
    );
    repository
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn replace(root: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(root.join(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    write(root, file, &text.replace(from, to));
}

/// Everything that the rules have to say, but for the copies, which take longer.
fn said(root: &Path, exceptions: &[Exception]) -> String {
    let house = House::open(root).unwrap();
    let mut problems = pages::check(&house.book);
    problems.extend(house::code_comes_from_listings(&house, exceptions));
    problems.extend(house::ignored_code_is_compiled(&house));
    problems.extend(house::listings_are_on_pages(&house));
    problems.extend(house::chapters_and_files_match(&house));
    problems.extend(house::commands_exist(&house));
    problems.extend(house::listings_stand_alone(&house));
    problems.extend(house::dependencies_agree(&house));
    problems.extend(house::licences_are_allowed(&house));
    problems.extend(house::spelling(&house).unwrap());
    problems.extend(house::trailing_spaces(&house).unwrap());
    problems.extend(house::wide_lines(&house));
    problems.extend(house::captions(&house));
    problems.extend(house::documents_show_listings(&house));
    problems.extend(house::document_links(&house));
    report(&problems)
}

/// Breaks the sound repository in one place and returns what the rules say then.
fn after(file: &str, from: &str, to: &str) -> String {
    let repository = sound();
    replace(repository.path(), file, from, to);
    said(repository.path(), &[])
}

#[test]
fn a_sound_repository_has_no_problem() {
    let repository = sound();
    assert_eq!(said(repository.path(), &[]), "");
    let house = House::open(repository.path()).unwrap();
    assert_eq!(report(&house::copies_pass(&house).unwrap()), "");
}

#[test]
fn code_that_nothing_compiles() {
    let ignored = "```rust,ignore\n{{#include ../../listings/tcp/hello/hello/src/main.rs:body}}";
    let problem = after(
        PAGE,
        "```rust\n{{#include ../../listings/tcp/hello/hello/src/main.rs:body}}",
        ignored,
    );
    assert!(
        problem.starts_with("src/tcp/hello.md:7: nothing compiles this as the reader sees it"),
        "{problem}"
    );

    // With the whole file in another block there is nothing to say.
    let repository = sound();
    let page = fs::read_to_string(repository.path().join(PAGE)).unwrap();
    let whole = "```rust\n{{#include ../../listings/tcp/hello/hello/src/main.rs}}\n```";
    write(
        repository.path(),
        PAGE,
        &format!("{page}\n{ignored}\n```\n\n{whole}\n"),
    );
    assert_eq!(said(repository.path(), &[]), "");
}

#[test]
fn code_on_the_page_itself() {
    let include = "{{#include ../../listings/tcp/hello/hello/src/main.rs:body}}";
    let repository = sound();
    let page = fs::read_to_string(repository.path().join(PAGE)).unwrap();
    let more = format!("{page}\n```rust\nlet x = 1;\n```\n");
    write(repository.path(), PAGE, &more);
    let problem = said(repository.path(), &[]);
    assert!(
        problem.starts_with("src/tcp/hello.md:15: this code stands on the page itself"),
        "{problem}"
    );

    let exception = Exception {
        page: PAGE,
        first_line: "let x = 1;",
        reason: "a test",
    };
    assert_eq!(said(repository.path(), &[exception]), "");

    // Output that somebody has typed is none.
    for typed in [
        "```text\nlistening on 127.0.0.1:7001\n```\n",
        "```\nreceived 12\n```\n",
    ] {
        write(repository.path(), PAGE, &format!("{page}\n{typed}"));
        let problem = said(repository.path(), &[]);
        assert!(
            problem.starts_with("src/tcp/hello.md:15: this code stands on the page itself"),
            "{problem}"
        );
    }

    // An include with something beside it is not what was tested.
    write(
        repository.path(),
        PAGE,
        &page.replace(include, &format!("{include}\nlet y = 2;")),
    );
    let problem = said(repository.path(), &[exception]);
    assert!(
        problem.contains("src/tcp/hello.md:7: this code stands on the page itself"),
        "{problem}"
    );
    assert!(
        problem.contains("(a test) is no longer needed; remove it"),
        "{problem}"
    );
}

#[test]
fn a_scene_on_no_page_and_a_recording_without_a_scene() {
    let repository = sound();
    let root = repository.path();
    let scenes = format!("{LISTING}/scenes");
    write(root, &format!("{scenes}/alone.toml"), "");
    write(root, &format!("{scenes}/gone.client.pcapng"), "");
    let problem = said(root, &[]);
    assert!(
        problem.contains("alone.toml: no page includes this file; show it, or remove it"),
        "{problem}"
    );
    assert!(
        problem.contains("gone.client.pcapng: it was recorded from")
            && problem.contains("gone.toml, which is gone; remove it"),
        "{problem}"
    );
}

#[test]
fn a_caption_of_a_figure_that_is_no_sentence() {
    let repository = sound();
    let root = repository.path();
    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    for figure in [
        "ladder a.toml",
        "calls a.toml",
        "console a.toml echo-server",
        "dissection a.toml client 4",
        "flight a.toml client",
        "boundaries a.toml client",
        "waits a.toml echo-server",
        "states a.toml b.toml",
        "totals a.toml b.toml",
        "measured a.json one,two throughput",
    ] {
        write(
            root,
            PAGE,
            &format!("{page}\n{{{{#{figure} Two `words`\nand a stop.}}}}\n"),
        );
        let good = said(root, &[]);
        assert!(!good.contains("is no sentence"), "{good}");
        write(
            root,
            PAGE,
            &format!("{page}\n{{{{#{figure} the handshake}}}}\n"),
        );
        let problem = said(root, &[]);
        assert!(
            problem.contains("src/tcp/hello.md:15: the caption \"the handshake\" is no sentence"),
            "{figure}: {problem}"
        );
    }
}

#[test]
fn a_listing_or_a_part_of_it_on_no_page() {
    let problem = after(PAGE, ":body}}", "}}");
    assert_eq!(
        problem,
        "listings/tcp/hello/hello/src/main.rs:1: no page uses the anchor body; include it, or remove it\n"
    );

    let repository = sound();
    write(
        repository.path(),
        &format!("{LISTING}/python/hello.py"),
        "print(1)\n",
    );
    let problem = said(repository.path(), &[]);
    assert_eq!(
        problem,
        "listings/tcp/hello/hello/python/hello.py: no page includes this file; show it, or remove it\n"
    );

    let repository = sound();
    replace(
        repository.path(),
        "Cargo.toml",
        "listings/tcp/*/*",
        "listings/*/*/*",
    );
    fs::create_dir_all(repository.path().join("listings/udp/other")).unwrap();
    fs::rename(
        repository.path().join(LISTING),
        repository.path().join("listings/udp/other/hello"),
    )
    .unwrap();
    replace(
        repository.path(),
        PAGE,
        "listings/tcp/hello/",
        "listings/udp/other/",
    );
    let problem = said(repository.path(), &[]);
    assert!(
        problem.contains(
            "its chapter would be src/udp/other.md, which is no chapter of src/SUMMARY.md"
        ),
        "{problem}"
    );
}

#[test]
fn an_include_that_does_not_resolve() {
    let problem = after(PAGE, "main.rs:body", "none.rs:body");
    assert!(
        problem
            .contains("src/tcp/hello.md:8: can't include listings/tcp/hello/hello/src/none.rs: "),
        "{problem}"
    );
    let problem = after(PAGE, ":body", ":bodi");
    assert!(
        problem.contains("src/tcp/hello.md:8: no anchor bodi in listings/tcp/hello/hello/src/main.rs; it has body"),
        "{problem}"
    );
    let problem = after(PAGE, ":body", ":2:3");
    assert!(
        problem.contains("includes by line number, which shifts when the file changes"),
        "{problem}"
    );
    let problem = after(PAGE, "{{#include", "{{#embed");
    assert!(
        problem.contains("src/tcp/hello.md:8: unknown directive {{#embed}}"),
        "{problem}"
    );
    let problem = after(
        &format!("{LISTING}/src/main.rs"),
        "// ANCHOR_END: body\n",
        "",
    );
    assert!(
        problem.contains("and never ends; add ANCHOR_END: body"),
        "{problem}"
    );
}

#[test]
fn a_copy_that_fails_its_tests() {
    let repository = sound();
    write(
        repository.path(),
        &format!("{LISTING}/tests/hello.rs"),
        "#[test]\nfn the_book_is_there() {\n    \
         assert!(std::path::Path::new(\"../../../../book.toml\").exists());\n}\n",
    );
    let house = House::open(repository.path()).unwrap();
    let problem = report(&house::copies_pass(&house).unwrap());
    assert!(
        problem.starts_with(
            "listings/tcp/hello/hello/Cargo.toml: `cargo test` fails in a copy of this listing outside"
        ),
        "{problem}"
    );
    assert!(problem.contains("the_book_is_there"), "{problem}");
}

#[test]
fn headings_and_links() {
    let problem = after(PAGE, "## Code {#code}", "## Code");
    assert!(
        problem.contains(
            "src/tcp/hello.md:5: the heading \"Code\" has no id; end its line with {#some-id}"
        ),
        "{problem}"
    );
    assert!(
        problem.contains("src/tcp/hello.md:3: link #code: no id code in src/tcp/hello.md"),
        "{problem}"
    );
    let problem = after(PAGE, "{#code}", "{#hello}");
    assert!(
        problem
            .contains("src/tcp/hello.md:5: the id hello is already that of the heading in line 1"),
        "{problem}"
    );
    let problem = after(PAGE, "(#code)", "(other.md)");
    assert!(
        problem.contains("link other.md: src/tcp/other.md is no chapter of SUMMARY.md"),
        "{problem}"
    );
    let problem = after(PAGE, "[below]", "![below](a.svg) [below]");
    assert!(
        problem.contains("src/tcp/hello.md:3: link a.svg: there is no src/tcp/a.svg"),
        "{problem}"
    );
    let problem = after(PAGE, "(#code)", "(http://example.org/)");
    assert!(
        problem.contains("link http://example.org/: use https instead of http"),
        "{problem}"
    );
    let problem = after(PAGE, "(#code)", "(https://[example.org/)");
    assert!(
        problem.contains("src/tcp/hello.md:3: link https://[example.org/: invalid"),
        "{problem}"
    );
    for host in ["example", "example.org:port"] {
        let link = format!("https://{host}/");
        let problem = after(PAGE, "(#code)", &format!("({link})"));
        assert!(
            problem.contains(&format!("link {link}: the host is no public name")),
            "{problem}"
        );
    }
}

#[test]
fn pages_and_summary() {
    let repository = sound();
    write(
        repository.path(),
        "src/tcp/orphan.md",
        "# Orphan {#orphan}\n",
    );
    let problem = said(repository.path(), &[]);
    assert_eq!(
        problem,
        "src/tcp/orphan.md: no entry of src/SUMMARY.md leads to this page; add one\n"
    );

    let repository = sound();
    fs::remove_file(repository.path().join(PAGE)).unwrap();
    let error = House::open(repository.path()).err().unwrap();
    assert!(
        format!("{error:#}")
            .starts_with("src/SUMMARY.md:3: the chapter tcp/hello.md can't be read: "),
        "{error:#}"
    );
}

#[test]
fn commands() {
    for (command, message) in [
        ("cargo run --bin hullo", "there is no program hullo"),
        ("cargo run -p hullo", "there is no package hullo"),
        (
            "cargo run --bin hello -- --loud",
            "hello does not know the flag --loud",
        ),
        ("cargo run --fast --bin hello", "unknown argument --fast"),
        (
            "cargo test -p hello says_hello",
            "hello has no test whose name contains says_hello",
        ),
        (
            "cargo test -p hello --test hullo",
            "there is no test file hullo",
        ),
        ("cargo book surve", "error: unrecognized subcommand 'surve'"),
        (
            "cargo book serve --portt 1",
            "error: unexpected argument '--portt' found",
        ),
        (
            "cp -r listings/tcp/hello/hullo there",
            "there is no listings/tcp/hello/hullo",
        ),
        ("frobnicate", "a reader may not have frobnicate"),
        ("echo 'open", "a quote is not closed"),
    ] {
        let problem = after(PAGE, "cargo run --bin hello", command);
        assert!(
            problem.starts_with(&format!("src/tcp/hello.md:12: `{command}`: {message}")),
            "{problem}"
        );
    }
    let problem = after(PAGE, "$ cargo run --bin hello", "hello");
    assert!(
        problem.contains("src/tcp/hello.md:12: \"hello\" is no command"),
        "{problem}"
    );
    let problem = after(PAGE, "See ", "See `cargo run --bin hullo`, ");
    assert!(
        problem.contains("src/tcp/hello.md:3: `cargo run --bin hullo`: there is no program hullo"),
        "{problem}"
    );
    assert_eq!(after(PAGE, "See ", "See `cargo run --bin NAME`, "), "");
}

#[test]
fn packages() {
    let manifest = format!("{LISTING}/Cargo.toml");
    let says = |from: &str, to: &str, message: &str| {
        let problem = after(&manifest, from, to);
        assert!(problem.contains(message), "{problem}");
    };
    says(
        "edition = \"2024\"",
        "edition = \"2021\"",
        "hello/Cargo.toml: set edition = \"2024\"",
    );
    says(
        "publish = false\n",
        "",
        "hello/Cargo.toml: set publish = false",
    );
    says(
        "license = \"MIT OR Apache-2.0\"\n",
        "",
        "hello/Cargo.toml: set license",
    );
    says(
        "description = \"Says hello\"\n",
        "",
        "hello/Cargo.toml: say in description what it is",
    );
    says(
        "publish = false\n",
        "publish = false\n\n[[bin]]\nname = \"greeter\"\npath = \"src/main.rs\"\n",
        "hello/Cargo.toml: the program greeter must be called hello or hello-…",
    );

    let repository = sound();
    let root = repository.path();
    replace(
        root,
        "Cargo.toml",
        "members",
        "package.edition = \"2024\"\nmembers",
    );
    replace(
        root,
        &manifest,
        "edition = \"2024\"",
        "edition.workspace = true",
    );
    let problem = said(root, &[]);
    assert!(
        problem.contains("hello/Cargo.toml:4: a listing can be copied out, so it can't take this from the workspace"),
        "{problem}"
    );

    // Two listings, one of which needs the other, and a licence that is not allowed.
    let repository = sound();
    let root = repository.path();
    for file in ["Cargo.toml", "src/main.rs"] {
        let text = fs::read_to_string(root.join(LISTING).join(file)).unwrap();
        write(
            root,
            &format!("listings/tcp/hello/other/{file}"),
            &text.replace("\"hello\"", "\"other\""),
        );
    }
    write(root, "listings/tcp/hello/other/src/lib.rs", "");
    replace(
        root,
        PAGE,
        "```rust\n",
        "```rust\n{{#include ../../listings/tcp/hello/other/src/main.rs}}\n```\n\n```rust\n",
    );
    let text = fs::read_to_string(root.join(&manifest)).unwrap();
    write(
        root,
        &manifest,
        &format!("{text}\n[dependencies]\nother = {{ path = \"../other\", version = \"0.1\" }}\n"),
    );
    replace(
        root,
        "listings/tcp/hello/other/Cargo.toml",
        "MIT OR Apache-2.0",
        "GPL-3.0-only",
    );
    let problem = said(root, &[]);
    assert!(
        problem.contains("which does not come along when the listing is copied out"),
        "{problem}"
    );
    assert!(
        problem.contains("other 0.1.0: its licence GPL-3.0-only is not among the allowed ones"),
        "{problem}"
    );
}

#[test]
fn copies_of_a_helper_that_differ() {
    let repository = sound();
    let root = repository.path();
    write(
        root,
        &format!("{LISTING}/tests/support/mod.rs"),
        "// mine\n",
    );
    assert_eq!(
        said(root, &[]),
        "listings/tcp/hello/hello/tests/support/mod.rs: differs from what `cargo book new` writes; \
         all copies are the same, so change them together\n"
    );
}

#[test]
fn versions_that_disagree() {
    let repository = sound();
    let root = repository.path();
    // Needs of the three listings for a fourth; the odd one out is named.
    for (name, version) in [("one", "0.1.0"), ("two", "0.1.0"), ("three", "0.1")] {
        let folder = format!("listings/tcp/hello/{name}");
        write(
            root,
            &format!("{folder}/Cargo.toml"),
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                 [dependencies]\nhello = {{ path = \"../hello\", version = \"{version}\" }}\n"
            ),
        );
        write(root, &format!("{folder}/src/main.rs"), "fn main() {}\n");
    }
    write(root, &format!("{LISTING}/src/lib.rs"), "");
    let house = House::open(root).unwrap();
    assert_eq!(
        report(&house::dependencies_agree(&house)),
        "listings/tcp/hello/three/Cargo.toml: wants hello ^0.1, and other listings want ^0.1.0; make them the same\n"
    );
}

#[test]
fn the_text_itself() {
    // Written in two halves, so that the spelling of this file is sound.
    let problem = after(PAGE, "See ", concat!("Rec", "ieve ", "it. See "));
    assert!(
        problem.contains("src/tcp/hello.md:3: ") && problem.contains("should be receive"),
        "{problem}"
    );
    let problem = after(PAGE, "below](#code).", "below](#code). ");
    assert_eq!(
        problem,
        "src/tcp/hello.md:3: remove the space at the end of this line\n"
    );
    let problem = after(
        PAGE,
        "See ",
        "<figure><figcaption>the handshake</figcaption></figure> See ",
    );
    assert!(
        problem.contains("src/tcp/hello.md:3: the caption \"the handshake\" is no sentence"),
        "{problem}"
    );
}

#[test]
fn documents() {
    let repository = sound();
    let root = repository.path();
    let document = "# Hello\n\n[licence](LICENSE)\n\n```rust\nprintln!(\"hello\");\n```\n";
    write(root, "LICENSE", "");
    write(root, "README.md", document);
    assert_eq!(said(root, &[]), "");
    write(
        root,
        "README.md",
        &document
            .replace("LICENSE", "LICENCE")
            .replace("hello", "hullo"),
    );
    assert_eq!(
        said(root, &[]),
        "README.md:5: no listing holds these lines; copy them from one\n\
         README.md:3: link LICENCE: there is no such file, and no https address\n"
    );
}

#[test]
fn a_line_that_is_wider_than_a_page() {
    let wide = format!("// ANCHOR: body\n// {}", "-".repeat(80));
    let problem = after(&format!("{LISTING}/src/main.rs"), "// ANCHOR: body", &wide);
    assert_eq!(
        problem,
        "listings/tcp/hello/hello/src/main.rs:2: 83 columns are too wide for a page; break the line at 80\n"
    );
}
