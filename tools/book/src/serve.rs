//! `cargo book serve`: the last good build on 127.0.0.1, rebuilt and reloaded after every change.

use std::fmt::Display;
use std::future::IntoFuture;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use notify_debouncer_full::notify::{EventKind, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, new_debouncer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use crate::build::{BuildError, build_into};

/// Where pages wait for the word to reload. The same name as mdBook's, so that
/// the same content security policy covers the script that mdBook puts there.
pub(crate) const RELOAD: &str = "__livereload";

const DEFAULT_PORT: u16 = 3000;

/// The folders that a page is made of; `book.toml` beside them counts too.
const WATCHED: [&str; 3] = ["src", "listings", "theme"];

/// How long changes must pause before a build starts: editors write in several steps.
const PAUSE: Duration = Duration::from_millis(100);

/// What is served at the moment.
#[derive(Clone)]
enum Site {
    /// A folder with a whole build.
    Built(Arc<PathBuf>),
    /// There was no good build yet; this is what went wrong.
    Broken(Arc<String>),
}

pub(crate) fn serve(root: &Path, port: Option<u16>, open: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Builds go into a folder of this process's own, which ends with it.
    let builds = tempfile::Builder::new().prefix("on-the-wire-").tempdir()?;
    let served = runtime.block_on(run(root, builds.path(), port, open));
    // A build that is still running must not keep the terminal.
    runtime.shutdown_background();
    served
}

async fn run(root: &Path, builds: &Path, port: Option<u16>, open: bool) -> Result<()> {
    let ended = ended()?;
    let listener = listen(port).await?;
    let addr = listener.local_addr()?;

    let (changed, mut changes) = mpsc::channel(1);
    // Kept until the end: without it nobody watches.
    let _watcher = watch_pages(root, changed)?;
    let mut builder = Builder {
        root: root.to_path_buf(),
        builds: builds.to_path_buf(),
        count: 0,
        kept: Vec::new(),
    };
    let first = match builder.build() {
        Ok(folder) => Site::Built(folder),
        Err(error) => Site::Broken(Arc::new(error.to_string())),
    };
    let (site, current) = watch::channel(first);

    let app = Router::new()
        .route(&format!("/{RELOAD}"), get(wait_for_reload))
        .fallback(page)
        .with_state(current);
    let url = format!("http://{addr}/");
    say(io::stdout(), format_args!("serving on {url}"));
    if open && let Err(error) = opener::open_browser(&url) {
        say(io::stderr(), format_args!("can't open a browser: {error}"));
    }

    let rebuild = async {
        while changes.recv().await.is_some() {
            let (back, done) = tokio::task::spawn_blocking(move || {
                let done = builder.build();
                (builder, done)
            })
            .await?;
            builder = back;
            match done {
                Ok(folder) => {
                    let _ = site.send(Site::Built(folder));
                }
                // The last good build stays; only a page that shows mistakes shows the new ones.
                Err(error) => {
                    site.send_if_modified(|site| match site {
                        Site::Built(_) => false,
                        Site::Broken(text) => {
                            *text = Arc::new(error.to_string());
                            true
                        }
                    });
                }
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        served = axum::serve(listener, app).into_future() => served.context("serve"),
        rebuilt = rebuild => rebuilt,
        () = ended => Ok(()),
    }
}

/// The default port may be taken by something else; a port that was asked for may not.
async fn listen(port: Option<u16>) -> Result<TcpListener> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let addr = at(port.unwrap_or(DEFAULT_PORT));
    match TcpListener::bind(addr).await {
        Err(error) if port.is_none() && error.kind() == ErrorKind::AddrInUse => {
            TcpListener::bind(at(0)).await.context("bind a free port")
        }
        bound => bound.with_context(|| format!("bind {addr}")),
    }
}

struct Builder {
    root: PathBuf,
    builds: PathBuf,
    count: u64,
    /// The good builds that are still there, oldest first.
    kept: Vec<Arc<PathBuf>>,
}

impl Builder {
    /// Builds into a folder of its own and says in the terminal how that went.
    fn build(&mut self) -> Result<Arc<PathBuf>, BuildError> {
        let started = Instant::now();
        self.count += 1;
        let folder = Arc::new(self.builds.join(self.count.to_string()));
        match build_into(&self.root, &folder, true) {
            Ok(pages) => {
                let took = started.elapsed();
                say(
                    io::stdout(),
                    format_args!("built {pages} pages in {took:.2?}"),
                );
                self.kept.push(Arc::clone(&folder));
                // A page being loaded may still read the build before this one.
                if self.kept.len() > 2 {
                    let _ = std::fs::remove_dir_all(self.kept.remove(0).as_path());
                }
                Ok(folder)
            }
            Err(error) => {
                let _ = std::fs::remove_dir_all(folder.as_path());
                say(io::stderr(), &error);
                Err(error)
            }
        }
    }
}

/// Unlike `println!`, goes on when nobody reads what is written: the pages are served all the same.
fn say(mut output: impl Write, line: impl Display) {
    let _ = writeln!(output, "{line}");
}

/// Sends a word whenever something changed that a page is made of.
fn watch_pages(root: &Path, changed: mpsc::Sender<()>) -> Result<impl Drop + use<>> {
    let parts: Vec<PathBuf> = WATCHED
        .iter()
        .map(|name| root.join(name))
        .filter(|folder| folder.is_dir())
        .collect();
    let watched = parts.clone();
    let settings = root.join("book.toml");
    let mut watcher = new_debouncer(PAUSE, None, move |result: DebounceEventResult| {
        let touched = match result {
            Ok(events) => events.iter().any(|event| {
                // Reading the pages for a build must not cause the next one.
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().any(|path| {
                        *path == settings
                            || watched.iter().any(|part| path.starts_with(part))
                                && !is_scratch(path)
                    })
            }),
            // Something was missed, so look.
            Err(_) => true,
        };
        if touched {
            // Full means that a build is due already, which will see this change too.
            let _ = changed.try_send(());
        }
    })?;
    // The root by itself for `book.toml`: an editor may replace the file instead of writing to it.
    watcher
        .watch(root, RecursiveMode::NonRecursive)
        .with_context(|| format!("watch {}", root.display()))?;
    for folder in parts {
        watcher
            .watch(&folder, RecursiveMode::Recursive)
            .with_context(|| format!("watch {}", folder.display()))?;
    }
    Ok(watcher)
}

/// Files that editors keep beside the one being edited.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.ends_with('~')
}

/// Waits for Ctrl-C, for the end as a supervisor would ask for it, or for the terminal to be closed: none leaves a
/// folder behind.
/// Takes the signals over at once, not when it is first waited for.
#[cfg(unix)]
fn ended() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            _ = hung_up.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn ended() -> Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

async fn page(State(site): State<watch::Receiver<Site>>, request: Request) -> Response {
    let site = site.borrow().clone();
    let mut response = match site {
        Site::Built(folder) => {
            let missing = ServeFile::new(folder.join("404.html"));
            match ServeDir::new(folder.as_path())
                .not_found_service(missing)
                .oneshot(request)
                .await
            {
                Ok(response) => response.into_response(),
                Err(never) => match never {},
            }
        }
        Site::Broken(problems) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::REFRESH, "2"),
            ];
            (
                StatusCode::SERVICE_UNAVAILABLE,
                headers,
                problems.to_string(),
            )
                .into_response()
        }
    };
    // The next build may change anything.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn wait_for_reload(
    State(site): State<watch::Receiver<Site>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(|socket| tell_when_built(socket, site))
}

async fn tell_when_built(mut socket: WebSocket, mut site: watch::Receiver<Site>) {
    site.mark_unchanged();
    // A frame says nothing to us; the end or an error says that the browser has left this page.
    let left = async { while let Some(Ok(_)) = socket.recv().await {} };
    let built = tokio::select! {
        changed = site.changed() => changed.is_ok(),
        () = left => false,
    };
    if built {
        let _ = socket.send(Message::text("reload")).await;
    }
}
