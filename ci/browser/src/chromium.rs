//! Chromium, over the DevTools protocol.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// For one answer of the browser, on a machine that has other things to do as well.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running browser with a profile of its own. Dropping it ends the one and removes the other.
pub struct Browser {
    process: Child,
    profile: Option<TempDir>,
    connection: Connection,
}

impl Browser {
    /// The browser to use: `CHROMIUM`, or else the first of the usual names that is installed.
    pub fn find() -> Option<PathBuf> {
        if let Some(path) = std::env::var_os("CHROMIUM") {
            return Some(path.into());
        }
        let names = [
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
            "chrome",
        ];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).flat_map(|directory| {
            names.map(|name| {
                directory
                    .join(name)
                    .with_extension(std::env::consts::EXE_EXTENSION)
            })
        });
        let elsewhere = [
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
            r"C:\Program Files\Google\Chrome\Application\chrome.exe",
        ];
        on_path
            .chain(elsewhere.map(PathBuf::from))
            .find(|path| path.is_file())
    }

    pub async fn start(program: &Path) -> Result<Self> {
        let profile = tempfile::Builder::new()
            .prefix("on-the-wire-browser-")
            .tempdir()?;
        let mut process = Command::new(program)
            .args([
                "--headless",
                "--remote-debugging-port=0",
                // The pages are our own, and in a container there is no sandbox to be had.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--disable-quic",
                "--disable-background-networking",
                // Two windows of the browser's own in every context, of half a second each.
                "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup",
                "--disable-component-update",
                "--disable-extensions",
                "--disable-sync",
                "--no-default-browser-check",
                "--no-first-run",
                "--no-startup-window",
                "--hide-scrollbars",
                // A tab that is not in front runs as fast as one that is.
                "--disable-background-timer-throttling",
                "--disable-backgrounding-occluded-windows",
                "--disable-renderer-backgrounding",
                // Whatever a page asks for elsewhere is recorded, and goes nowhere.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let stderr = process.stderr.take().context("the browser has no stderr")?;
        // From here on an error drops the browser, and so ends it.
        let (connection, disconnected) = Connection::new();
        let browser = Self {
            process,
            profile: Some(profile),
            connection,
        };

        let (found, endpoint) = oneshot::channel();
        std::thread::spawn(move || report_endpoint(stderr, found));
        let endpoint = timeout(DEADLINE, endpoint)
            .await
            .context("the browser did not start in time")??;
        let endpoint =
            endpoint.map_err(|said| anyhow!("the browser ended at once, and said:\n{said}"))?;
        let (socket, _) = timeout(DEADLINE, tokio_tungstenite::connect_async(&endpoint)).await??;
        disconnected.connect(socket);
        Ok(browser)
    }

    /// A blank tab that shares nothing with other tabs: no storage, no cache.
    pub async fn new_page(&self, site: SocketAddr) -> Result<Page> {
        let browser = &self.connection;
        let context = browser
            .call(None, "Target.createBrowserContext", json!({}))
            .await?;
        let target =
            json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = browser.call(None, "Target.createTarget", target).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call(None, "Target.attachToTarget", attach).await?;
        let session = session["sessionId"]
            .as_str()
            .context("no session")?
            .to_owned();
        let (sender, events) = mpsc::unbounded_channel();
        browser
            .shared
            .sessions
            .lock()
            .unwrap()
            .insert(session.clone(), sender);

        let page = Page {
            connection: browser.clone(),
            session,
            events,
            site,
            loader: String::new(),
            may_be_missing: None,
            problems: Vec::new(),
            requests: BTreeSet::new(),
        };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            page.call(&format!("{domain}.enable"), json!({})).await?;
        }
        page.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }))
            .await?;
        page.call(
            "Emulation.setFocusEmulationEnabled",
            json!({ "enabled": true }),
        )
        .await?;
        Ok(page)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Its children follow within moments, and may write to the profile until then.
        if let Some(profile) = self.profile.take() {
            let path = profile.keep();
            for _ in 0..200 {
                match std::fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Sends the address that the browser prints, or else all that it printed; then reads on, so that
/// the browser never waits for a reader.
fn report_endpoint(stderr: impl std::io::Read, found: oneshot::Sender<Result<String, String>>) {
    let mut found = Some(found);
    let mut said = String::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(endpoint) = line.strip_prefix("DevTools listening on ") {
            if let Some(found) = found.take() {
                let _ = found.send(Ok(endpoint.to_owned()));
            }
        } else if found.is_some() {
            said += &line;
            said.push('\n');
        }
    }
    if let Some(found) = found {
        let _ = found.send(Err(said));
    }
}

/// The one websocket to the browser, shared by its tabs.
#[derive(Clone)]
struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    outgoing: mpsc::UnboundedSender<Message>,
    next_id: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    sessions: Mutex<HashMap<String, mpsc::UnboundedSender<Value>>>,
}

/// The other end of a [`Connection`], before there is a socket.
struct Disconnected {
    shared: Arc<Shared>,
    outgoing: mpsc::UnboundedReceiver<Message>,
}

impl Connection {
    fn new() -> (Self, Disconnected) {
        let (sender, outgoing) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            outgoing: sender,
            next_id: AtomicU64::new(1),
            waiting: Mutex::default(),
            sessions: Mutex::default(),
        });
        (
            Self {
                shared: shared.clone(),
            },
            Disconnected { shared, outgoing },
        )
    }

    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let (sender, answer) = oneshot::channel();
        self.shared.waiting.lock().unwrap().insert(id, sender);
        self.shared
            .outgoing
            .send(Message::text(message.to_string()))
            .context("the browser has gone")?;
        let answer = timeout(DEADLINE, answer)
            .await
            .with_context(|| format!("{method}: no answer in {DEADLINE:?}"))?
            .with_context(|| format!("{method}: the browser has gone"))?;
        match answer.get("error") {
            Some(error) => bail!(
                "{method}: {}",
                error["message"].as_str().unwrap_or_default()
            ),
            None => Ok(answer["result"].clone()),
        }
    }
}

impl Disconnected {
    fn connect<S>(mut self, socket: tokio_tungstenite::WebSocketStream<S>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (mut writer, mut reader) = socket.split();
        tokio::spawn(async move {
            while let Some(message) = self.outgoing.recv().await {
                if writer.send(message).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(Ok(message)) = reader.next().await {
                let Ok(message) = serde_json::from_slice::<Value>(&message.into_data()) else {
                    continue;
                };
                if let Some(id) = message["id"].as_u64() {
                    if let Some(waiting) = self.shared.waiting.lock().unwrap().remove(&id) {
                        let _ = waiting.send(message);
                    }
                } else if let Some(session) = message["sessionId"].as_str()
                    && let Some(events) = self.shared.sessions.lock().unwrap().get(session)
                {
                    let _ = events.send(message);
                }
            }
            // Whoever waits now waits in vain.
            self.shared.waiting.lock().unwrap().clear();
            self.shared.sessions.lock().unwrap().clear();
        });
    }
}

/// A tab, and what went wrong in it.
pub struct Page {
    connection: Connection,
    session: String,
    events: mpsc::UnboundedReceiver<Value>,
    site: SocketAddr,
    /// Names the load of the document that is shown.
    loader: String,
    may_be_missing: Option<String>,
    problems: Vec<String>,
    requests: BTreeSet<String>,
}

impl Page {
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.connection
            .call(Some(&self.session), method, params)
            .await
    }

    /// The value of a JavaScript expression; of a promise, the value it comes to.
    pub async fn evaluate(&self, expression: &str) -> Result<Value> {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{}\nin the script\n{expression}", thrown_text(thrown));
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Runs a script in every document to come, before the document's own.
    pub async fn before_every_document(&self, script: &str) -> Result<()> {
        self.call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        )
        .await?;
        Ok(())
    }

    /// Opens a path of the site, which begins with `/`, and waits until all of it is loaded.
    pub async fn open(&mut self, path: &str) -> Result<()> {
        self.absorb_events();
        self.requests.clear();
        let url = format!("http://{}{path}", self.site);
        let answer = self.call("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = answer["errorText"].as_str() {
            bail!("open {path}: {error}");
        }
        let loader = answer["loaderId"]
            .as_str()
            .with_context(|| format!("{path} is open already"))?
            .to_owned();
        self.wait_for_load(|this| this == loader)
            .await
            .with_context(|| format!("open {path}"))
    }

    /// Opens a path that the site doesn't have.
    pub async fn open_missing(&mut self, path: &str) -> Result<()> {
        self.may_be_missing = Some(format!("http://{}{path}", self.site));
        let opened = self.open(path).await;
        self.absorb_events();
        self.may_be_missing = None;
        opened
    }

    /// Waits for the page that a click or a key just asked for.
    pub async fn wait_for_next_page(&mut self) -> Result<()> {
        let shown = self.loader.clone();
        self.wait_for_load(|this| this != shown)
            .await
            .context("no other page was opened")
    }

    async fn wait_for_load(&mut self, is_awaited: impl Fn(&str) -> bool) -> Result<()> {
        let awaited = async {
            loop {
                let event = self.events.recv().await.context("the browser has gone")?;
                self.absorb(&event);
                let params = &event["params"];
                let loader = params["loaderId"].as_str().unwrap_or_default();
                if event["method"] == "Page.lifecycleEvent"
                    && params["name"] == "load"
                    && is_awaited(loader)
                {
                    self.loader = loader.to_owned();
                    return Ok(());
                }
            }
        };
        timeout(DEADLINE, awaited)
            .await
            .context("it did not load in time")?
    }

    /// Clicks in the middle of an element, which must be there to be clicked.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let point = self
            .evaluate(&format!(
                "(() => {{
                    const element = document.querySelector({selector:?});
                    if (!element) return 'is not on the page';
                    element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                    const box = element.getBoundingClientRect();
                    const point = {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }};
                    const hit = document.elementFromPoint(point.x, point.y);
                    if (element.contains(hit)) return point;
                    return `is covered by ${{hit?.outerHTML.slice(0, 200)}}`;
                }})()"
            ))
            .await?;
        if let Some(reason) = point.as_str() {
            bail!("click: {selector} {reason}");
        }
        for kind in ["mousePressed", "mouseReleased"] {
            let mut mouse = point.clone();
            mouse["type"] = kind.into();
            mouse["button"] = "left".into();
            mouse["clickCount"] = 1.into();
            self.call("Input.dispatchMouseEvent", mouse).await?;
        }
        Ok(())
    }

    /// Presses and releases one key: a letter, or one of `Enter`, `Escape`, `Tab`, `Home`, `ArrowRight`, or the space.
    pub async fn press(&self, key: &str) -> Result<()> {
        let (code, text) = match key {
            "Enter" => (13, Some("\r")),
            "Escape" => (27, None),
            "Tab" => (9, None),
            "Home" => (36, None),
            "ArrowRight" => (39, None),
            " " => (32, Some(" ")),
            letter => {
                ensure!(letter.chars().count() == 1, "no such key: {letter}");
                let letter_code = letter
                    .to_ascii_uppercase()
                    .bytes()
                    .next()
                    .unwrap_or_default();
                (i32::from(letter_code), Some(letter))
            }
        };
        let mut event = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event.clone()).await?;
        event["type"] = "keyUp".into();
        if let Some(event) = event.as_object_mut() {
            event.remove("text");
        }
        self.call("Input.dispatchKeyEvent", event).await?;
        Ok(())
    }

    /// What went wrong since the last call.
    pub fn take_problems(&mut self) -> Vec<String> {
        self.absorb_events();
        std::mem::take(&mut self.problems)
    }

    /// The paths that the page asked the site for since it was opened.
    pub fn requests(&mut self) -> &BTreeSet<String> {
        self.absorb_events();
        &self.requests
    }

    fn absorb_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.absorb(&event);
        }
    }

    fn absorb(&mut self, event: &Value) {
        let params = &event["params"];
        let problem = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => {
                format!("uncaught: {}", thrown_text(&params["exceptionDetails"]))
            }
            "Runtime.consoleAPICalled" => {
                let level = params["type"].as_str().unwrap_or_default();
                if !["error", "warning", "assert"].contains(&level) {
                    return;
                }
                let arguments = params["args"].as_array().into_iter().flatten();
                let said: Vec<_> = arguments
                    .map(|argument| value_text(argument).to_owned())
                    .collect();
                format!("console {level}: {}", said.join(" "))
            }
            "Log.entryAdded" => {
                let entry = &params["entry"];
                let level = entry["level"].as_str().unwrap_or_default();
                if !["error", "warning"].contains(&level) || self.is_expected(&entry["url"]) {
                    return;
                }
                let text = entry["text"].as_str().unwrap_or_default();
                // It repeats the whole policy, hash by hash.
                let words = text.split_whitespace();
                let words: Vec<_> = words.filter(|word| !word.starts_with("'sha256-")).collect();
                let url = entry["url"].as_str().unwrap_or_default();
                format!("browser {level}: {} {url}", words.join(" "))
            }
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                match url.strip_prefix(&format!("http://{}", self.site)) {
                    Some(path) => {
                        let path = path.split(['#', '?']).next().unwrap_or_default();
                        self.requests.insert(path.to_owned());
                        return;
                    }
                    None => format!("a request to another host: {url}"),
                }
            }
            "Network.responseReceived" => {
                let response = &params["response"];
                let status = response["status"].as_i64().unwrap_or_default();
                if status < 400 || self.is_expected(&response["url"]) {
                    return;
                }
                format!(
                    "status {status}: {}",
                    response["url"].as_str().unwrap_or_default()
                )
            }
            "Network.loadingFailed" if params["canceled"] != true => {
                let kind = params["type"].as_str().unwrap_or_default();
                format!(
                    "a request failed: {} ({kind})",
                    params["errorText"].as_str().unwrap_or_default()
                )
            }
            "Inspector.targetCrashed" => "the tab crashed".to_owned(),
            _ => return,
        };
        self.problems.push(problem);
    }

    fn is_expected(&self, url: &Value) -> bool {
        self.may_be_missing.is_some() && self.may_be_missing.as_deref() == url.as_str()
    }
}

fn thrown_text(details: &Value) -> &str {
    let description = details["exception"]["description"].as_str();
    description
        .or(details["text"].as_str())
        .unwrap_or("an exception")
}

fn value_text(argument: &Value) -> &str {
    argument["value"]
        .as_str()
        .or(argument["description"].as_str())
        .unwrap_or("?")
}
