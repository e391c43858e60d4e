//! `cargo book serve`: the last good build on 127.0.0.1, rebuilt and reloaded after every change.

use std::fmt::Display;
use std::future::IntoFuture;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use figures::Figures;
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{
    DebounceEventResult, DebouncedEvent, Debouncer, RecommendedCache, new_debouncer,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use crate::build::{BuildError, build_into};

/// Where pages wait for the word to reload. The same name as mdBook's, so that
/// the same content security policy covers the script that mdBook puts there.
pub(crate) const RELOAD: &str = "__livereload";

const DEFAULT_PORT: u16 = 3000;

/// The most bytes of a message on a WebSocket, either way.
const SMALL: usize = 1024;

/// The folders that a page is made of; `book.toml` beside them counts too.
const WATCHED: [&str; 3] = ["src", "listings", "theme"];

/// How long changes must pause before a build starts: editors write in several steps.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a build that is still running may keep the terminal: it would write on into the folder that is removed.
const LAST_BUILD: Duration = Duration::from_secs(3);

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
    runtime.shutdown_timeout(LAST_BUILD);
    served
}

async fn run(root: &Path, builds: &Path, port: Option<u16>, open: bool) -> Result<()> {
    let mut ended = pin!(ended()?);
    let listener = listen(port).await?;
    let addr = listener.local_addr()?;

    let (changed, mut changes) = mpsc::channel(1);
    // Kept until the end: without it nobody watches.
    let mut watch = Watch::start(root, changed)?;
    let builder = Builder {
        root: root.to_path_buf(),
        builds: builds.to_path_buf(),
        count: 0,
        figures: Figures::default(),
        kept: Vec::new(),
    };
    let (mut builder, first) = tokio::select! {
        built = builder.build_aside() => built?,
        () = &mut ended => return Ok(()),
    };
    let first = match first {
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
    if open && let Err(error) = open::that_detached(&url) {
        say(io::stderr(), format_args!("can't open a browser: {error}"));
    }

    let rebuild = async {
        while changes.recv().await.is_some() {
            watch.follow();
            let (back, built) = builder.build_aside().await?;
            builder = back;
            match built {
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
    /// So that a build draws what has changed, and nothing else.
    figures: Figures,
    /// The good builds that are still there, oldest first.
    kept: Vec<Arc<PathBuf>>,
}

impl Builder {
    /// Builds on a thread of its own, so that pages are served and signals are heard meanwhile.
    async fn build_aside(mut self) -> Result<(Builder, Result<Arc<PathBuf>, BuildError>)> {
        let built = tokio::task::spawn_blocking(move || {
            let built = self.build();
            (self, built)
        });
        Ok(built.await?)
    }

    /// Builds into a folder of its own and says in the terminal how that went.
    fn build(&mut self) -> Result<Arc<PathBuf>, BuildError> {
        let started = Instant::now();
        self.count += 1;
        let folder = Arc::new(self.builds.join(self.count.to_string()));
        match build_into(&self.root, &folder, true, &mut self.figures) {
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
pub(crate) fn say(mut output: impl Write, line: impl Display) {
    let _ = writeln!(output, "{line}");
}

/// Sends a word whenever something changed that a page is made of.
struct Watch {
    debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
    folders: Vec<PathBuf>,
    /// One of the folders has come, gone, or is another one by now.
    moved: Arc<AtomicBool>,
}

impl Watch {
    fn start(root: &Path, changed: mpsc::Sender<()>) -> Result<Watch> {
        let folders: Vec<PathBuf> = WATCHED.iter().map(|name| root.join(name)).collect();
        let settings = root.join("book.toml");
        let moved = Arc::new(AtomicBool::new(false));
        let watched = folders.clone();
        let noted = Arc::clone(&moved);
        let debouncer = new_debouncer(PAUSE, None, move |result: DebounceEventResult| {
            let touched = match result {
                Ok(events) => {
                    let named = |event: &DebouncedEvent| {
                        !matches!(event.kind, EventKind::Access(_))
                            && event.paths.iter().any(|path| watched.contains(path))
                    };
                    if events.iter().any(named) {
                        noted.store(true, Ordering::Relaxed);
                    }
                    events
                        .iter()
                        .any(|event| is_change(event, &settings, &watched))
                }
                // Something was missed, so look.
                Err(_) => true,
            };
            if touched {
                // Full means that a build is due already, which will see this change too.
                let _ = changed.try_send(());
            }
        })?;
        let mut watch = Watch {
            debouncer,
            folders,
            moved,
        };
        // The root by itself for `book.toml`, which an editor may replace instead of writing to it, and for the folders.
        watch
            .debouncer
            .watch(root, RecursiveMode::NonRecursive)
            .with_context(|| format!("watch {}", root.display()))?;
        for folder in watch.folders.iter().filter(|folder| folder.is_dir()) {
            watch
                .debouncer
                .watch(folder, RecursiveMode::Recursive)
                .with_context(|| format!("watch {}", folder.display()))?;
        }
        Ok(watch)
    }

    /// Watches what has the names of the folders now: the system goes by the folder and not by its name.
    fn follow(&mut self) {
        if !self.moved.swap(false, Ordering::Relaxed) {
            return;
        }
        for folder in &self.folders {
            let _ = self.debouncer.unwatch(folder);
            if folder.is_dir()
                && let Err(error) = self.debouncer.watch(folder, RecursiveMode::Recursive)
            {
                let folder = folder.display();
                say(
                    io::stderr(),
                    format_args!("can't see what changes in {folder}: {error}"),
                );
            }
        }
    }
}

/// Whether a page may differ after it.
fn is_change(event: &DebouncedEvent, settings: &Path, watched: &[PathBuf]) -> bool {
    // More has happened than the system could tell.
    event.need_rescan()
        // Reading the pages for a build must not cause the next one.
        || !matches!(event.kind, EventKind::Access(_))
            && event.paths.iter().any(|path| {
                path == settings
                    || watched.iter().any(|part| path.starts_with(part))
                        // mdBook copies such a file, or fails on it: its going is a change.
                        && (!is_scratch(path) || event.kind.is_remove())
            })
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

/// Whatever `Host` it asks for: the port may be forwarded, and there is nothing here but a book.
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
    // The next build may change anything, and a browser that goes back would not ask again for what it has stored.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn wait_for_reload(
    State(site): State<watch::Receiver<Site>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    // A browser lets the pages of any site open a WebSocket to here; it only says whose they are.
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let is_own = |origin: &[u8]| {
        [&b"http://"[..], b"https://"].iter().any(|scheme| {
            origin
                .strip_prefix(*scheme)
                .is_some_and(|rest| Some(rest) == host)
        })
    };
    if origin.is_some_and(|origin| !is_own(origin)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    // A page has nothing to say here, so little is kept of what somebody sends or leaves unread.
    upgrade
        .max_message_size(SMALL)
        .max_frame_size(SMALL)
        .write_buffer_size(0)
        .max_write_buffer_size(SMALL)
        .on_upgrade(|socket| tell_when_built(socket, site))
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
