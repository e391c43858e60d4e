//! A build that stops at the first sign that a page is not what its author meant.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result};
use figures::{Figures, Mistake};
use mdbook_driver::MDBook;
use pages::{Book, Problem};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

/// Why there is no new build.
#[derive(Debug)]
pub enum BuildError {
    /// Mistakes in the pages, each with file and line.
    Pages(Vec<Problem>),
    /// Anything else: a file that can't be read or written, a setting that mdBook refuses.
    Other(anyhow::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Pages(problems) => {
                for problem in problems {
                    writeln!(f, "{problem}")?;
                }
                let count = problems.len();
                let s = if count == 1 { "" } else { "s" };
                write!(f, "{count} mistake{s} in the pages, nothing was built")
            }
            BuildError::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<anyhow::Error> for BuildError {
    fn from(error: anyhow::Error) -> BuildError {
        BuildError::Other(error)
    }
}

/// `cargo book build`: the site into `book/`, which keeps its old content if anything is wrong.
pub(crate) fn build(root: &Path) -> Result<()> {
    let started = Instant::now();
    let fresh = tempfile::Builder::new()
        .prefix(".book-")
        .tempdir_in(root)
        .with_context(|| format!("make a folder in {}", root.display()))?;
    let built = fresh.path().join("book");
    let pages = build_into(root, &built, false, &mut Figures::default())?;
    let rendered = started.elapsed();

    let site = root.join("book");
    if site.exists() {
        std::fs::rename(&site, fresh.path().join("old"))
            .with_context(|| format!("put {} aside", site.display()))?;
    }
    std::fs::rename(&built, &site)
        .with_context(|| format!("put the new site into {}", site.display()))?;
    let site = site.display();
    crate::serve::say(
        std::io::stdout(),
        format_args!("built {pages} pages into {site} in {rendered:.2?}"),
    );
    Ok(())
}

/// Checks the pages and renders them into `folder`; returns how many there are.
/// With `live`, every page reloads itself when the server says so. `figures` are those of the build before, if there was one.
pub fn build_into(
    root: &Path,
    folder: &Path,
    live: bool,
    figures: &mut Figures,
) -> Result<usize, BuildError> {
    let pages = Book::load(root)?;
    let mut problems = pages::check(&pages);
    let sources: Vec<_> = pages
        .pages
        .iter()
        .map(|page| (&*page.path, &*page.source))
        .collect();
    for (page, mistakes) in figures.draw(root, &sources) {
        let problem = |mistake: Mistake| Problem::new(page, mistake.line, mistake.message);
        problems.extend(mistakes.into_iter().map(problem));
    }
    problems.sort();
    if !problems.is_empty() {
        return Err(BuildError::Pages(problems));
    }

    let mut book =
        MDBook::load(root).with_context(|| format!("load {}", root.join("book.toml").display()))?;
    book.config.build.build_dir = folder.to_path_buf();
    // In the place of the command of the same name.
    book.with_preprocessor(figures.clone());
    if live {
        book.config
            .set("output.html.live-reload-endpoint", crate::serve::RELOAD)?;
        book.config.set("output.html.site-url", "/")?;
    }
    // mdBook logs what it can't do and goes on; for this book that is a failure.
    let complaints = Complaints::default();
    let subscriber = tracing_subscriber::registry().with(complaints.clone());
    tracing::subscriber::with_default(subscriber, || book.build())?;
    let said = complaints.0.lock().expect("no thread panicked").clone();
    if !said.is_empty() {
        return Err(BuildError::Pages(said));
    }
    Ok(pages.pages.len())
}

/// Keeps every warning and error that is logged.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Vec<Problem>>>);

impl<S: Subscriber> Layer<S> for Complaints {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let problem = Problem::new("src", 0, format!("mdBook says: {}", message.0));
        self.0.lock().expect("no thread panicked").push(problem);
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
