//! The built book: its files, and a server for them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result, ensure};
use axum::Router;
use flate2::{Compression, write::GzEncoder};
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;
use passed::Inputs;
use tempfile::TempDir;
use tower_http::services::{ServeDir, ServeFile};

use crate::html::Html;

/// Where the repository begins.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// All that a site is built from, and what builds it: the files of these folders, whatever they are.
pub fn sources() -> Result<Inputs> {
    let mut inputs = Inputs::new()?;
    for file in ["book.toml", "Cargo.lock"] {
        inputs.file(&root().join(file))?;
    }
    for folder in ["src", "theme", "listings", "tools"] {
        inputs.folder(&root().join(folder))?;
    }
    Ok(inputs)
}

/// A build of the book, deleted when dropped.
pub struct Site {
    directory: TempDir,
}

impl Site {
    /// The book as it is published, but for the root of a host: built once for all tests that run at the same time.
    pub fn built() -> Result<Arc<Self>> {
        static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        // A build that has panicked has left nothing behind.
        let mut known = SITE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = known.upgrade() {
            return Ok(site);
        }
        let site = Arc::new(Self::build_with(|_| Ok(()))?);
        *known = Arc::downgrade(&site);
        Ok(site)
    }

    /// Builds the book as `cargo book serve` and `mdbook serve` do, with the script that reloads
    /// the page.
    pub fn build_live() -> Result<Self> {
        Self::build_with(|config| config.set("output.html.live-reload-endpoint", "__livereload"))
    }

    /// Builds the book as it looks without anything of `theme/`.
    pub fn build_without_theme() -> Result<Self> {
        let nothing = tempfile::tempdir()?;
        let theme = nothing.path().to_string_lossy().into_owned();
        Self::build_with(|config| config.set("output.html.theme", &theme))
    }

    fn build_with(change: impl FnOnce(&mut Config) -> Result<()>) -> Result<Self> {
        let root = root();
        let directory = tempfile::Builder::new()
            .prefix("on-the-wire-site-")
            .tempdir()?;
        let mut config = Config::from_disk(root.join("book.toml"))?;
        config.set("output.html.site-url", "/")?;
        config.set("build.build-dir", directory.path())?;
        change(&mut config)?;
        MDBook::load_with_config(root, config)
            .and_then(|book| book.build())
            .context("the book does not build")?;
        Ok(Self { directory })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Every file, as a path relative to the site with `/` between its parts.
    pub fn files(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in directory.read_dir()? {
                let path = entry?.path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let parts = path.strip_prefix(self.path())?.iter();
                let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
                found.insert(parts.join("/"));
            }
        }
        Ok(found)
    }

    pub fn html_files(&self) -> Result<BTreeSet<String>> {
        let files = self.files()?.into_iter();
        Ok(files.filter(|file| file.ends_with(".html")).collect())
    }

    pub fn read(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(self.path().join(file))
            .with_context(|| format!("read {file} of the built site"))
    }

    /// The page itself and everything that a browser fetches for it, as paths relative to the site.
    pub fn files_loaded_by(&self, page: &str) -> Result<BTreeSet<String>> {
        let mut loaded = BTreeSet::from([page.to_owned()]);
        for resource in Html::parse(&self.read(page)?).resources {
            let file = resolve(page, &resource)?;
            if file.ends_with(".css") {
                for resource in urls_in_css(&self.read(&file)?) {
                    loaded.insert(resolve(&file, &resource)?);
                }
            }
            loaded.insert(file);
        }
        Ok(loaded)
    }

    /// The size in bytes of a file as a host sends it: `gzip -6`.
    pub fn compressed_size(&self, file: &str) -> Result<usize> {
        let content = std::fs::read(self.path().join(file))
            .with_context(|| format!("{file} is not in the site"))?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(&content)?;
        Ok(encoder.finish()?.len())
    }

    /// Serves the site on a free port until the runtime ends; an unknown path gets the 404 page.
    pub async fn serve(&self) -> Result<SocketAddr> {
        let not_found = ServeFile::new(self.path().join("404.html"));
        let files = ServeDir::new(self.path()).not_found_service(not_found);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(
            async move { axum::serve(listener, Router::new().fallback_service(files)).await },
        );
        Ok(address)
    }
}

/// The path of `link` as it stands in `file`, both relative to the site.
fn resolve(file: &str, link: &str) -> Result<String> {
    ensure!(
        !link.contains(':') && !link.starts_with("//"),
        "{file} loads {link}: everything comes from the site"
    );
    let link = link.split(['#', '?']).next().unwrap_or_default();
    let mut parts: Vec<_> = file.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        parts.clear();
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => ensure!(
                parts.pop().is_some(),
                "{file} loads {link}, which is outside of the site"
            ),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// What a style sheet loads. A `data:` URL loads nothing, and the policy forbids it to be shown.
fn urls_in_css(css: &str) -> Vec<String> {
    let arguments = css
        .split("url(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let urls = arguments.map(|argument| argument.trim().trim_matches(['"', '\'']).to_owned());
    urls.filter(|url| !url.starts_with("data:")).collect()
}
