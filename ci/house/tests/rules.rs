//! The repository keeps the house rules. Each test's message says where and what to do.

use std::path::Path;
use std::sync::LazyLock;

use house::{Exception, House, report};
use pages::Problem;

/// Code that may stand on a page itself, each with its reason.
const EXCEPTIONS: &[Exception] = &[Exception {
    page: "src/appendix/colophon.md",
    first_line: "about = \"My client asks my server while a packet is lost.\"",
    reason: "a scene of the reader's own programs, which are no listings",
}];

/// The repository, read once. What stops the reading is said by every test.
#[track_caller]
fn house() -> &'static House {
    static HOUSE: LazyLock<Result<House, String>> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().map_err(|error| error.to_string())?;
        House::open(root).map_err(|error| format!("{error:#}"))
    });
    HOUSE.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn none(problems: Vec<Problem>) {
    assert!(problems.is_empty(), "\n{}", report(&problems));
}

#[test]
fn code_on_a_page_comes_from_a_listing() {
    none(house::code_comes_from_listings(house(), EXCEPTIONS));
}

#[test]
fn code_that_skeptic_leaves_out_is_compiled_elsewhere() {
    none(house::ignored_code_is_compiled(house()));
}

#[test]
fn code_in_a_document_is_a_listing_s() {
    none(house::documents_show_listings(house()));
}

#[test]
fn every_include_resolves() {
    none(pages::check_includes(&house().book));
}

#[test]
fn every_listing_and_anchor_is_on_a_page() {
    none(house::listings_are_on_pages(house()));
}

#[test]
fn every_listing_passes_its_tests_when_copied_out() {
    none(house::copies_pass(house()).unwrap());
}

#[test]
fn every_heading_has_an_id_of_its_own() {
    none(pages::check_ids(&house().book));
}

#[test]
fn every_link_leads_somewhere() {
    none(pages::check_links(&house().book));
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    none(house::document_links(house()));
}

#[test]
fn the_summary_and_the_pages_match() {
    none(house::chapters_and_files_match(house()));
}

#[test]
fn every_command_can_be_typed() {
    none(house::commands_exist(house()));
}

#[test]
fn every_listing_stands_alone() {
    none(house::listings_stand_alone(house()));
}

#[test]
fn listings_agree_on_versions() {
    none(house::dependencies_agree(house()));
}

#[test]
fn every_licence_is_allowed() {
    none(house::licences_are_allowed(house()));
}

#[test]
fn nothing_is_misspelt() {
    none(house::spelling(house()).unwrap());
}

#[test]
fn no_line_ends_in_a_space() {
    none(house::trailing_spaces(house()).unwrap());
}

#[test]
fn no_line_of_code_is_wider_than_a_page() {
    none(house::wide_lines(house()));
}

#[test]
fn captions_are_sentences() {
    none(house::captions(house()));
}
