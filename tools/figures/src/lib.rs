//! Figures of the book, drawn from recordings: a preprocessor of mdBook.
//!
//! A page says `{{#ladder ../../listings/tcp/echo/echo/scenes/hello.toml A caption.}}` and gets the figure in this
//! place. [`expand`] does that for one page, [`Figures`] for the whole book.

mod boundaries;
mod calls;
mod captures;
mod console;
mod dissection;
mod draw;
mod figure;
mod flight;
mod frame;
mod ladder;
mod layout;
mod measured;
pub mod results;
mod states;
mod totals;
mod waits;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use regex::{Captures, Regex};
use wire::{Recording, SceneFile};

/// The directives that [`expand`] knows.
pub const DIRECTIVES: [&str; 10] = [
    "ladder",
    "calls",
    "console",
    "dissection",
    "flight",
    "states",
    "totals",
    "boundaries",
    "waits",
    "measured",
];

/// A directive that can't be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

/// A page with its figures, and the captures that they offer: names below `captures/`, and the files that go
/// there.
#[derive(Debug, Clone, Default)]
pub struct Expanded {
    pub text: String,
    pub captures: BTreeMap<String, PathBuf>,
    pub mistakes: Vec<Mistake>,
    /// The folders that were read from, as they were just before.
    folders: BTreeMap<PathBuf, Vec<FileState>>,
}

impl Expanded {
    /// Whether it would be the same from the same text now.
    fn is_fresh(&self) -> bool {
        self.folders
            .iter()
            .all(|(folder, before)| files_in(folder) == *before)
    }
}

/// A file's name, its length in bytes, and when it was written.
type FileState = (OsString, u64, SystemTime);

/// The files of a folder as they are now; none if it can't be read.
fn files_in(folder: &Path) -> Vec<FileState> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<FileState> = entries
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some((entry.file_name(), about.len(), about.modified().ok()?))
        })
        .collect();
    files.sort();
    files
}

/// Puts figures in the place of directives. `page` is the page's path; recordings lie relative to its folder.
pub fn expand(root: &Path, page: &Path, text: &str) -> Expanded {
    static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
        let names = DIRECTIVES.join("|");
        Regex::new(&format!(r"(?s)(\\)?\{{\{{\s*#\s*({names})\b(.*?)\}}\}}"))
            .expect("a valid pattern")
    });
    let mut expanded = Expanded::default();
    let folder = page.parent().unwrap_or(Path::new(""));
    let mut page = Page {
        root,
        folder,
        // From a page of src/a/b.md to the top of the site, and from there to the captures.
        up: "../".repeat(folder.components().count().saturating_sub(1)),
        seen: BTreeSet::new(),
        loaded: HashMap::new(),
        folders: BTreeMap::new(),
    };
    let result = DIRECTIVE.replace_all(text, |found: &Captures| {
        if found.get(1).is_some() {
            return found[0].to_string();
        }
        match page.draw(&found[2], &found[3]) {
            Ok((html, captures)) => {
                expanded.captures.extend(captures);
                html
            }
            Err(error) => {
                let at = found.get(0).map_or(0, |whole| whole.start());
                expanded.mistakes.push(Mistake {
                    line: text[..at].matches('\n').count() + 1,
                    message: format!("{error:#}"),
                });
                String::new()
            }
        }
    });
    expanded.text = result.into_owned();
    expanded.folders = page.folders;
    expanded
}

/// A page as it is drawn on.
struct Page<'a> {
    root: &'a Path,
    folder: &'a Path,
    /// From the page to the top of the site.
    up: String,
    /// The scenes that have a figure already.
    seen: BTreeSet<PathBuf>,
    /// What was read before: a scene often has several figures.
    loaded: HashMap<PathBuf, Rc<(SceneFile, Recording)>>,
    /// Of [`Expanded`].
    folders: BTreeMap<PathBuf, Vec<FileState>>,
}

type Drawn = (String, BTreeMap<String, PathBuf>);

impl Page<'_> {
    fn draw(&mut self, name: &str, rest: &str) -> Result<Drawn> {
        if name == "measured" {
            return self.measured(rest);
        }
        let (targets, rest) = targets(rest);
        let [first, ..] = &targets[..] else {
            bail!(
                "{{{{#{name}}}}} wants the path of a scene, such as ../../listings/tcp/echo/echo/scenes/hello.toml, and then a caption"
            );
        };
        let (words, caption) = arguments(name, rest)?;
        if ["states", "totals"].contains(&name) {
            let mut recorded = Vec::new();
            for target in &targets {
                recorded.push(self.load(target)?);
            }
            let recorded: Vec<_> = recorded.iter().map(|both| &**both).collect();
            let scenes: Vec<_> = recorded.iter().map(|(file, of)| (file, of)).collect();
            let html = match name {
                "states" => states::html(&scenes, &self.up, caption),
                _ => totals::html(&scenes, caption),
            }?;
            // The captures of each, for scenes that have no figure of their own.
            let captures = recorded
                .iter()
                .flat_map(|(file, of)| captures::of(file, of));
            return Ok((html, captures.collect()));
        }
        if targets.len() > 1 {
            bail!("{{{{#{name}}}}} shows one scene, not {}", targets.len());
        }
        let loaded = self.load(first)?;
        let (file, recording) = &*loaded;
        let is_first = self.seen.insert(file.path.clone());
        let figure = figure::Figure::new(file, recording, &self.up, is_first);
        let html = match name {
            "ladder" => ladder::html(&figure, caption),
            "calls" => calls::html(&figure, caption),
            "flight" => flight::html(&figure, words[0], caption),
            "boundaries" => boundaries::html(&figure, words[0], caption),
            "waits" => waits::html(&figure, words[0], caption),
            "console" => console::html(&figure, words[0], caption),
            _ => dissection::html(&figure, words[0], words[1], caption),
        }?;
        Ok((html, captures::of(file, recording)))
    }

    /// A figure of what `cargo book bench` wrote, which is offered to readers as it is.
    fn measured(&mut self, rest: &str) -> Result<Drawn> {
        let (words, caption) = arguments("measured", rest)?;
        let [target, workloads, kind] = words[..] else {
            bail!("{{{{#measured}}}} wants results, workloads and what to draw");
        };
        let path = [self.root, self.folder, Path::new(target)]
            .iter()
            .collect::<PathBuf>();
        self.note_folder(&path);
        let bytes = fs::read(&path).with_context(|| format!("read the results {target}"))?;
        let results = serde_json::from_slice(&bytes)
            .with_context(|| format!("{target} holds no results of cargo book bench"))?;
        let name = captures::results(&path);
        let link = format!("{}{name}", self.up);
        let html = measured::html(&results, workloads, kind, caption, &link)?;
        Ok((html, BTreeMap::from([(name, path)])))
    }

    fn load(&mut self, target: &str) -> Result<Rc<(SceneFile, Recording)>> {
        let path = [self.root, self.folder, Path::new(target)]
            .iter()
            .collect::<PathBuf>();
        if let Some(loaded) = self.loaded.get(&path) {
            return Ok(Rc::clone(loaded));
        }
        self.note_folder(&path);
        if !path.is_file() {
            bail!("there is no scene {target}");
        }
        let file = SceneFile::at(&path);
        let recording = wire::load(&file)?;
        let loaded = Rc::new((file, recording));
        self.loaded.insert(path, Rc::clone(&loaded));
        Ok(loaded)
    }

    /// To be called before the file, or one beside it, is read.
    fn note_folder(&mut self, file: &Path) {
        let folder = file.parent().unwrap_or(Path::new(""));
        if !self.folders.contains_key(folder) {
            let files = files_in(folder);
            self.folders.insert(folder.to_path_buf(), files);
        }
    }
}

/// The paths of scenes that a directive begins with, and what follows them.
fn targets(rest: &str) -> (Vec<&str>, &str) {
    let mut targets = Vec::new();
    let mut rest = rest.trim();
    loop {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if !word.ends_with(".toml") {
            return (targets, rest);
        }
        targets.push(word);
        rest = after.trim_start();
    }
}

/// The words that a directive wants before its caption, and the caption.
fn arguments<'a>(name: &str, rest: &'a str) -> Result<(Vec<&'a str>, &'a str)> {
    let wanted: &[&str] = match name {
        "console" | "waits" => &["the name of a program"],
        "flight" | "boundaries" => &["a host"],
        "dissection" => &["a host", "the number of a packet in its capture"],
        "measured" => &[
            "the path of results",
            "workloads, with commas between them",
            "what to draw of them",
        ],
        _ => &[],
    };
    let mut words = Vec::new();
    let mut rest = rest.trim();
    for what in wanted {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if word.is_empty() {
            return Err(anyhow!("{{{{#{name}}}}} wants {what} before its caption"));
        }
        words.push(word);
        rest = after.trim_start();
    }
    if rest.is_empty() {
        bail!("{{{{#{name}}}}} has no caption; write a sentence that says what to look at");
    }
    Ok((words, rest))
}

/// The preprocessor. A clone has the same figures ready, at no cost.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Pages that were drawn before, with the text that they were drawn from.
    drawn: Arc<HashMap<PathBuf, (String, Arc<Expanded>)>>,
}

impl Figures {
    /// Draws pages now, given their paths and texts, and says what is wrong with each; [`Figures::run`] then has them
    /// ready. What was drawn before and would be the same is kept.
    pub fn draw<'a>(
        &mut self,
        root: &Path,
        pages: &[(&'a Path, &str)],
    ) -> Vec<(&'a Path, Vec<Mistake>)> {
        let before = &self.drawn;
        let draw = |page: &Path, text: &str| match before.get(page) {
            Some((old, drawn)) if old == text && drawn.is_fresh() => Arc::clone(drawn),
            _ => Arc::new(expand(root, page, text)),
        };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut drawn = Vec::new();
            while let Some((page, text)) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                drawn.push((*page, text.to_string(), draw(page, text)));
            }
            drawn
        };
        // Nothing here waits, so more threads than cores gain nothing.
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let all = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let all = threads.into_iter().map(|thread| thread.join());
            all.map(|drawn| drawn.unwrap_or_else(|panic| resume_unwind(panic)))
                .collect::<Vec<_>>()
        });
        let mut mistakes = Vec::new();
        let mut drawn = HashMap::new();
        for (page, text, expanded) in all.into_iter().flatten() {
            mistakes.push((page, expanded.mistakes.clone()));
            drawn.insert(page.to_path_buf(), (text, expanded));
        }
        self.drawn = Arc::new(drawn);
        mistakes
    }
}

impl Preprocessor for Figures {
    fn name(&self) -> &str {
        "figures"
    }

    fn supports_renderer(&self, renderer: &str) -> Result<bool> {
        Ok(renderer == "html")
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let source = &context.config.book.src;
        let mut mistakes = Vec::new();
        let mut captures = BTreeMap::new();
        book.for_each_mut(|item| {
            if let BookItem::Chapter(chapter) = item
                && let Some(path) = &chapter.source_path
            {
                let page = source.join(path);
                let expanded = match self.drawn.get(&page) {
                    Some((text, drawn)) if *text == chapter.content => Cow::Borrowed(&**drawn),
                    _ => Cow::Owned(expand(&context.root, &page, &chapter.content)),
                };
                chapter.content.clone_from(&expanded.text);
                captures.extend(expanded.captures.clone());
                for mistake in &expanded.mistakes {
                    mistakes.push(format!(
                        "{}:{}: {}",
                        page.display(),
                        mistake.line,
                        mistake.message
                    ));
                }
            }
        });
        if !mistakes.is_empty() {
            bail!("{}", mistakes.join("\n"));
        }
        captures::write(&context.root.join(source), &captures)?;
        Ok(book)
    }
}

#[cfg(test)]
mod tests;
