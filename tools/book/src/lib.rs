//! The one command of this repository: builds the book, serves it, makes new listings, records scenes.

mod bench;
mod build;
mod new;
mod record;
mod serve;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

pub use build::{BuildError, build_into};
pub use new::SUPPORT;
pub use record::{Outcome, build_all, check, programs};

/// What `cargo book` understands.
#[derive(Debug, Parser)]
#[command(
    name = "cargo book",
    bin_name = "cargo book",
    about = "Builds and serves the book"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the book, serve it on 127.0.0.1 and reload the browser after every change
    Serve {
        /// The port to listen on; without it 3000, or any free port if 3000 is taken
        #[arg(long)]
        port: Option<u16>,
        /// Open the book in a browser
        #[arg(long)]
        open: bool,
    },
    /// Build the static site into book/
    Build,
    /// Make a new listing that passes the house rules, and show it at the end of its chapter
    New {
        /// The chapter's page without its ending, such as tcp/echo
        chapter: String,
        /// The package's name, such as echo-upper
        listing: String,
    },
    /// Run scenes and write what they show beside them, for the figures of the book
    Record {
        /// LISTING/SCENE, a LISTING for all of its scenes, or the path of a scene's file; all without one
        scenes: Vec<String>,
        /// Write nothing, but compare with what was recorded
        #[arg(long)]
        check: bool,
        /// How many scenes run at the same time
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
    /// Measure the echo servers and write the results for the figures of the book: half an hour on a quiet machine
    Bench(bench::Options),
}

/// Does what the command line says, in the repository that `start` lies in.
pub fn run(cli: Cli, start: &Path) -> Result<()> {
    let root = root_of(start)?;
    match cli.command {
        Command::Serve { port, open } => serve::serve(&root, port, open),
        Command::Build => build::build(&root),
        Command::New { chapter, listing } => new::new(&root, &chapter, &listing),
        Command::Record {
            scenes,
            check,
            jobs,
        } => record::record(&root, &scenes, check, jobs),
        Command::Bench(options) => bench::bench(&root, &options),
    }
}

/// The nearest folder upwards from `start` that holds a book.
fn root_of(start: &Path) -> Result<PathBuf> {
    start
        .ancestors()
        .find(|folder| {
            folder.join("book.toml").is_file() && folder.join("src/SUMMARY.md").is_file()
        })
        .map(Path::to_path_buf)
        .with_context(|| {
            format!(
                "no book.toml with src/SUMMARY.md beside it in {} or above",
                start.display()
            )
        })
}
