//! `cargo book new` makes what the house rules want.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command as Process;

use book::{Cli, Command};
use house::{House, report};

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn new(root: &Path, chapter: &str, listing: &str) -> Result<(), String> {
    let command = Command::New {
        chapter: chapter.to_string(),
        listing: listing.to_string(),
    };
    book::run(Cli { command }, root).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_new_listing_passes_the_house_rules_and_its_own_tests() {
    let repository = tempfile::tempdir().unwrap();
    let root = repository.path();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    write(root, "book.toml", "[book]\ntitle = \"Hello\"\n");
    write(
        root,
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = []\n",
    );
    // The versions that are in cargo's cache.
    fs::copy(ours.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    support::tell_about_the_compiler(root);
    write(
        root,
        "src/SUMMARY.md",
        "# Summary\n\n- [First](first.md)\n- [Hello](tcp/hello.md)\n",
    );
    write(root, "src/first.md", "# First {#first}\n");
    write(root, "src/tcp/hello.md", "# Hello {#hello}\n");

    new(root, "tcp/hello", "say-hello").unwrap();
    new(root, "src/first.md", "say-first").unwrap();
    let house = House::open(root).unwrap();
    let mut problems = pages::check(&house.book);
    problems.extend(house::code_comes_from_listings(&house, &[]));
    problems.extend(house::listings_are_on_pages(&house));
    problems.extend(house::commands_exist(&house));
    problems.extend(house::listings_stand_alone(&house));
    problems.extend(house::dependencies_agree(&house));
    problems.extend(house::spelling(&house).unwrap());
    problems.extend(house::trailing_spaces(&house).unwrap());
    problems.extend(house::wide_lines(&house));
    problems.extend(house::copies_pass(&house).unwrap());
    assert_eq!(report(&problems), "");

    // As `cargo fmt --check` would have it.
    let formatted = Process::new("rustfmt")
        .args(["--check", "--edition", "2024", "--config", "max_width=80"])
        .arg(root.join("listings/tcp/hello/say-hello/src/main.rs"))
        .arg(root.join("listings/tcp/hello/say-hello/tests/say_hello.rs"))
        .output()
        .unwrap();
    assert!(
        formatted.status.success(),
        "{}",
        String::from_utf8_lossy(&formatted.stdout)
    );

    // Each has a default port of its own.
    let program = |folder: &str| fs::read_to_string(root.join(folder).join("src/main.rs")).unwrap();
    assert!(program("listings/tcp/hello/say-hello").contains("127.0.0.1:7001"));
    assert!(program("listings/first/say-first").contains("127.0.0.1:7002"));

    assert_eq!(
        new(root, "tcp/hello", "say-hello").unwrap_err(),
        "the name say-hello is taken by listings/tcp/hello/say-hello"
    );
    assert_eq!(
        new(root, "tcp/none", "other").unwrap_err(),
        "there is no src/tcp/none.md; write the chapter first and name it in src/SUMMARY.md"
    );
    fs::write(root.join("src/tcp/unnamed.md"), "# Unnamed {#unnamed}\n").unwrap();
    assert_eq!(
        new(root, "tcp/unnamed", "other").unwrap_err(),
        "src/tcp/unnamed.md is no chapter yet; name it in src/SUMMARY.md first"
    );
    fs::remove_file(root.join("src/tcp/unnamed.md")).unwrap();
    for name in ["Hello", "a_b", "-a", "a-", "../a", ""] {
        assert!(
            new(root, "tcp/hello", name)
                .unwrap_err()
                .contains("is no name for a listing")
        );
    }
}
