//! The house rules. Each is a function from the repository to the problems it has; `tests/rules.rs` holds the
//! repository to them, `tests/broken.rs` breaks each on purpose.

mod code;
mod commands;
mod copies;
mod packages;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use pages::{Book, Page, Problem};

pub use code::{
    Exception, code_comes_from_listings, documents_show_listings, ignored_code_is_compiled,
    listings_are_on_pages,
};
pub use commands::commands_exist;
pub use copies::copies_pass;
pub use packages::{dependencies_agree, licences_are_allowed, listings_stand_alone};
pub use text::{
    captions, chapters_and_files_match, document_links, spelling, trailing_spaces, wide_lines,
};

/// The repository, read once for all rules.
pub struct House {
    pub root: PathBuf,
    pub book: Book,
    /// Texts for contributors at the top of the repository.
    pub documents: Vec<Page>,
    pub metadata: Metadata,
}

impl House {
    /// Reads the repository at `root`; fails with file and line when that can't be done.
    pub fn open(root: impl Into<PathBuf>) -> Result<House> {
        let root = root.into();
        let mut command = MetadataCommand::new();
        command.manifest_path(root.join("Cargo.toml"));
        // Without a network as long as it goes. A build does not fetch what other systems need, and this asks for it.
        let metadata = command
            .clone()
            .other_options(vec!["--offline".to_string()])
            .exec()
            .or_else(|_| command.exec())
            .context("cargo metadata")?;
        let mut documents = Vec::new();
        for name in ["README.md", "CONTRIBUTING.md"] {
            if let Ok(source) = fs::read_to_string(root.join(name)) {
                documents.push(Page::parse(name.into(), source));
            }
        }
        Ok(House {
            book: Book::load(&root)?,
            root,
            documents,
            metadata,
        })
    }

    /// The workspace's packages that are listings.
    pub fn listings(&self) -> Vec<Listing<'_>> {
        let mut found: Vec<Listing> = self
            .metadata
            .workspace_packages()
            .into_iter()
            .filter_map(|package| {
                let folder = package.manifest_path.parent()?.as_std_path();
                let folder = self.relative(folder);
                folder
                    .starts_with("listings")
                    .then_some(Listing { package, folder })
            })
            .collect();
        found.sort_by(|a, b| a.folder.cmp(&b.folder));
        found
    }

    /// `path` as seen from the root of the repository.
    fn relative(&self, path: &Path) -> PathBuf {
        let root = self.metadata.workspace_root.as_std_path();
        path.strip_prefix(root).unwrap_or(path).to_path_buf()
    }

    /// Every text file of the repository, relative to its root, without what is generated or fetched.
    fn text_files(&self) -> Result<Vec<PathBuf>> {
        const SKIPPED: [&str; 5] = ["target", "book", "node_modules", "__pycache__", ".git"];
        // mdBook's own, with its own spelling.
        const OTHERS: &str = "theme/highlight.js";
        const ENDINGS: [&str; 12] = [
            "md", "rs", "py", "toml", "txt", "css", "js", "hbs", "yml", "yaml", "json", "sh",
        ];
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let at = self.root.join(&folder);
            let entries = fs::read_dir(&at).with_context(|| format!("read {}", at.display()))?;
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let path = folder.join(&name);
                if entry.file_type()?.is_dir() {
                    // `tools/book` is the command, `book` at the top is what it builds.
                    let skipped = SKIPPED.iter().any(|skipped| name == *skipped);
                    let hidden = name.to_string_lossy().starts_with(".book-");
                    if path == Path::new("tools/book") || !(skipped || hidden) {
                        folders.push(path);
                    }
                } else if path != Path::new(OTHERS)
                    && path
                        .extension()
                        .is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
                {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A package under `listings/`.
pub struct Listing<'a> {
    pub package: &'a Package,
    /// Relative to the root of the repository.
    pub folder: PathBuf,
}

impl Listing<'_> {
    /// The page of the chapter that owns this listing.
    fn page(&self) -> PathBuf {
        let chapter = self.folder.parent().expect("listings lie in a chapter");
        let chapter = chapter.strip_prefix("listings").unwrap_or(chapter);
        Path::new("src").join(chapter).with_extension("md")
    }

    /// The files in one of the listing's folders, relative to the root, at any depth.
    fn files(&self, house: &House, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(house.root.join(&folder))
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = folder.join(entry.file_name());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }
}

/// A path as the rules print it, the same on every system.
fn show(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// The problems as one text, a line each; empty when there are none.
pub fn report(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}
