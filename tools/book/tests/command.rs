//! `cargo book` as its user meets it: on a small book of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

use tempfile::TempDir;

/// Far longer than anything here takes, so that only a hang meets it.
const DEADLINE: Duration = Duration::from_secs(30);

const PAGE: &str = "src/one.md";

fn small_book() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "book.toml", "[book]\ntitle = \"Small\"\n");
    write(
        root,
        "src/SUMMARY.md",
        "# Summary\n\n- [One](one.md)\n- [Two]()\n",
    );
    write(root, PAGE, "# One {#one}\n\nThe first text.\n");
    folder
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn book(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_book"));
    command.args(args).current_dir(root);
    command
}

/// Runs to the end; returns whether it succeeded, and stdout and stderr together.
fn run(root: &Path, args: &[&str]) -> (bool, String) {
    let output = book(root, args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn build_writes_the_site() {
    let folder = small_book();
    let (ok, said) = run(folder.path(), &["build"]);
    assert!(ok, "{said}");
    assert!(said.starts_with("built 1 pages into "), "{said}");
    let page = fs::read_to_string(folder.path().join("book/one.html")).unwrap();
    assert!(page.contains("The first text."));

    // From a folder inside of the repository too, and again over what is there.
    let (ok, said) = run(&folder.path().join("src"), &["build"]);
    assert!(ok, "{said}");
}

#[test]
fn a_mistake_stops_the_build_and_leaves_the_old_site() {
    let folder = small_book();
    let root = folder.path();
    assert!(run(root, &["build"]).0);
    for (mistake, message) in [
        (
            "{{#include nowhere.rs}}",
            "src/one.md:3: can't include src/nowhere.rs: ",
        ),
        (
            "{{#include SUMMARY.md:part}}",
            "src/one.md:3: no anchor part in src/SUMMARY.md",
        ),
        (
            "{{#figure x}}",
            "src/one.md:3: unknown directive {{#figure}}",
        ),
        (
            "[there](there.md)",
            "src/one.md:3: link there.md: src/there.md is no chapter of SUMMARY.md",
        ),
        (
            "[there](#there)",
            "src/one.md:3: link #there: no id there in src/one.md",
        ),
        ("<div>", "mdBook says: "),
    ] {
        write(root, PAGE, &format!("# One {{#one}}\n\n{mistake}\n"));
        let (ok, said) = run(root, &["build"]);
        assert!(!ok, "{mistake}");
        assert!(said.contains(message), "{said}");
        let page = fs::read_to_string(root.join("book/one.html")).unwrap();
        assert!(page.contains("The first text."));
    }
    let names: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(names.is_empty(), "left behind: {names:?}");
}

#[test]
fn outside_of_a_book_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (ok, said) = run(folder.path(), &["build"]);
    assert!(!ok);
    assert!(
        said.starts_with("error: no book.toml with src/SUMMARY.md beside it in "),
        "{said}"
    );
}

/// `cargo book serve`, ended when it goes out of scope.
struct Server {
    child: Child,
    /// For its builds: it is killed, and can't tidy up.
    _temp: TempDir,
    said: Receiver<String>,
    addr: SocketAddr,
}

impl Server {
    fn start(root: &Path, args: &[&str]) -> Server {
        let temp = tempfile::tempdir().unwrap();
        let mut child = book(root, &[&["serve"], args].concat())
            .env("TMPDIR", temp.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let addr = loop {
            let line = said.recv_timeout(DEADLINE).expect("an address");
            if let Some(url) = line.strip_prefix("serving on http://") {
                break url.trim_end_matches('/').parse().unwrap();
            }
        };
        Server {
            child,
            _temp: temp,
            said,
            addr,
        }
    }

    /// Waits for a line that contains `part`.
    fn says(&self, part: &str) {
        loop {
            let line = self
                .said
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("it never says {part:?}"));
            if line.contains(part) {
                return;
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.addr, DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: book\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    /// A page that is open in a browser, waiting to be told to reload.
    fn open_page(&self) -> TcpStream {
        let (stream, head) = self.ask_to_wait("http://book");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        stream
    }

    /// The connection of a page that comes from `origin`, and the head of the answer.
    fn ask_to_wait(&self, origin: &str) -> (TcpStream, String) {
        let mut stream = self.connect();
        write!(
            stream,
            "GET /__livereload HTTP/1.1\r\nHost: book\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        (stream, String::from_utf8_lossy(&head).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one frame that says so: final, text, six bytes (RFC 6455, section 5.2).
fn reloads(mut page: TcpStream) {
    let mut frame = [0; 8];
    page.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x06reload");
}

#[test]
fn a_change_reloads_the_page_and_a_mistake_does_not() {
    let folder = small_book();
    let root = folder.path();
    let server = Server::start(root, &["--port", "0"]);
    assert!(server.get("/one.html").contains("The first text."));
    assert!(server.get("/one.html").contains("__livereload"));
    assert!(server.get("/none.html").starts_with("HTTP/1.1 404"));
    // A browser that goes back to the page asks for it again.
    assert!(
        server
            .get("/one.html")
            .contains("\r\ncache-control: no-store\r\n")
    );

    let mut page = server.open_page();
    // A ping, masked with zeros: the browser is still there.
    page.write_all(b"\x89\x80\0\0\0\0").unwrap();
    let mut pong = [0; 2];
    page.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\x8a\0");
    write(root, PAGE, "# One {#one}\n\nThe second text.\n");
    reloads(page);
    assert!(server.get("/one.html").contains("The second text."));

    write(root, PAGE, "# One {#one}\n\n[gone](gone.md)\n");
    server.says("src/one.md:3: link gone.md");
    assert!(server.get("/one.html").contains("The second text."));

    let page = server.open_page();
    write(root, PAGE, "# One {#one}\n\nThe third text.\n");
    reloads(page);
    assert!(server.get("/one.html").contains("The third text."));

    // Settings count too, and an editor may replace the file instead of writing to it.
    let page = server.open_page();
    write(root, "book.toml.new", "[book]\ntitle = \"Renamed\"\n");
    fs::rename(root.join("book.toml.new"), root.join("book.toml")).unwrap();
    reloads(page);
    assert!(server.get("/one.html").contains("Renamed"));
}

/// Asks until it holds.
#[cfg(unix)]
fn until(what: &str, holds: impl Fn() -> bool) {
    let due = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < due, "{what} is never seen");
        thread::yield_now();
    }
}

/// Sends the signal, which is no failure.
#[cfg(unix)]
fn end(child: &mut Child, signal: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(sent.unwrap().success());
    assert!(child.wait().unwrap().success(), "{signal}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_another_has_replaced_is_watched() {
    let folder = small_book();
    let root = folder.path();
    let server = Server::start(root, &["--port", "0"]);
    fs::rename(root.join("src"), root.join("old")).unwrap();
    server.says("SUMMARY.md");
    fs::rename(root.join("old"), root.join("src")).unwrap();
    server.says("built 1 pages");
    for (file, text) in [(PAGE, "Another text."), ("theme/head.hbs", "<!-- new -->")] {
        write(root, file, &format!("# One {{#one}}\n\n{text}\n"));
        // The return of the folder may be built more than once, so no count of builds tells.
        until(file, || server.get("/one.html").contains(text));
    }
}

/// Emacs keeps a link that leads nowhere beside a file that is being edited; mdBook fails on it.
#[cfg(unix)]
#[test]
fn a_build_follows_when_a_scratch_file_has_gone() {
    let folder = small_book();
    let root = folder.path();
    let server = Server::start(root, &["--port", "0"]);
    let lock = root.join("src/.#one.md");
    std::os::unix::fs::symlink("ann@host.1:2", &lock).unwrap();
    write(root, PAGE, "# One {#one}\n\nThe second text.\n");
    server.says(".#one.md");
    let page = server.open_page();
    fs::remove_file(lock).unwrap();
    reloads(page);
    assert!(server.get("/one.html").contains("The second text."));
}

#[test]
fn a_page_of_another_site_is_told_nothing() {
    let folder = small_book();
    let server = Server::start(folder.path(), &["--port", "0"]);
    let refused = server.ask_to_wait("http://example.org");
    assert!(refused.1.starts_with("HTTP/1.1 403"), "{}", refused.1);
    let heard = server.ask_to_wait("http://book");
    assert!(heard.1.starts_with("HTTP/1.1 101"), "{}", heard.1);
}

#[test]
fn a_mistake_at_the_start_is_shown_until_it_is_mended() {
    let folder = small_book();
    let root = folder.path();
    write(root, PAGE, "# One {#one}\n\n[gone](gone.md)\n");
    let server = Server::start(root, &["--port", "0"]);
    let response = server.get("/one.html");
    assert!(response.starts_with("HTTP/1.1 503"), "{response}");
    assert!(
        response.contains("src/one.md:3: link gone.md"),
        "{response}"
    );
    write(root, PAGE, "# One {#one}\n\nMended.\n");
    server.says("built 1 pages");
    // The line comes before the switch, so ask until it has happened; every answer is one or the other.
    let mut response = server.get("/one.html");
    while response.starts_with("HTTP/1.1 503") {
        response = server.get("/one.html");
    }
    assert!(response.contains("Mended."), "{response}");
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let folder = small_book();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (ok, said) = run(
        folder.path(),
        &["serve", "--port", &addr.port().to_string()],
    );
    assert!(!ok);
    assert!(said.starts_with(&format!("error: bind {addr}: ")), "{said}");
}

#[test]
fn two_servers_run_side_by_side_without_a_port() {
    let folder = small_book();
    let one = Server::start(folder.path(), &[]);
    let two = Server::start(folder.path(), &[]);
    assert_ne!(one.addr, two.addr);
    assert!(two.get("/one.html").contains("The first text."));
}

#[cfg(unix)]
#[test]
fn ending_it_leaves_no_folder_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let folder = small_book();
        let temp = tempfile::tempdir().unwrap();
        let mut child = book(folder.path(), &["serve", "--port", "0"])
            .env("TMPDIR", temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("serving on")));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        end(&mut child, signal);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn ending_it_in_the_middle_of_a_build_leaves_no_folder_behind() {
    let folder = small_book();
    let root = folder.path();
    let mut summary = "# Summary\n\n- [One](one.md)\n".to_string();
    for chapter in 0..40 {
        summary += &format!("- [Chapter {chapter}](chapter-{chapter}.md)\n");
        let text = "Many words, so that the build takes a while.\n\n".repeat(20);
        write(
            root,
            &format!("src/chapter-{chapter}.md"),
            &format!("# Chapter {{#chapter}}\n\n{text}"),
        );
    }
    write(root, "src/SUMMARY.md", &summary);
    let temp = tempfile::tempdir().unwrap();
    let mut child = book(root, &["serve", "--port", "0"])
        .env("TMPDIR", temp.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("serving on")));
    let builds = fs::read_dir(temp.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    write(root, PAGE, "# One {#one}\n\nThe second text.\n");
    until("the second build", || builds.join("2").exists());
    end(&mut child, "TERM");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_first_build_that_never_ends_can_be_ended() {
    let folder = small_book();
    let root = folder.path();
    fs::remove_file(root.join(PAGE)).unwrap();
    let made = Command::new("mkfifo").arg(root.join(PAGE)).status();
    assert!(made.unwrap().success());
    let temp = tempfile::tempdir().unwrap();
    let mut child = book(root, &["serve", "--port", "0"])
        .env("TMPDIR", temp.path())
        .spawn()
        .unwrap();
    // Opened as soon as the build reads the page, of which it then waits for the end.
    let page = fs::OpenOptions::new().write(true).open(root.join(PAGE));
    end(&mut child, "TERM");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    drop(page);
}

#[cfg(unix)]
#[test]
fn it_goes_on_when_nobody_reads_what_it_says() {
    let folder = small_book();
    let root = folder.path();
    let mut server = Server::start(root, &["--port", "0"]);
    // From here on, what it writes meets a closed pipe.
    server.said = mpsc::channel().1;
    for text in ["One more.", "Two more."] {
        let page = server.open_page();
        write(root, PAGE, &format!("# One {{#one}}\n\n{text}\n"));
        reloads(page);
        assert!(server.get("/one.html").contains(text));
    }
}

/// A scene of somebody who has programs of their own, and no listing.
const SCENE: &str = "about = \"One line.\"\nsettle = \"10ms\"\n[[host]]\nname = \"here\"\n\
                     [[program]]\nhost = \"here\"\nrun = [\"sh\", \"-c\", \"echo hello\"]\n";

/// Records the scene; false, with a word of why, where scenes can't be run.
fn recorded(root: &Path) -> bool {
    let (ok, said) = run(root, &["record", "mine/scenes/one.toml"]);
    if !ok && said.contains("can't be run here: ") {
        assert!(std::env::var_os("CI").is_none(), "CI needs scenes: {said}");
        eprintln!("skipped: {said}");
        return false;
    }
    assert!(ok, "{said}");
    assert!(
        said.contains("[1/1] mine/one: written, 5 of 5 runs were the same"),
        "{said}"
    );
    true
}

#[test]
fn a_scene_anywhere_is_recorded_and_checked() {
    let folder = small_book();
    let root = folder.path();
    write(root, "mine/scenes/one.toml", SCENE);
    if !recorded(root) {
        return;
    }
    let ladder = fs::read_to_string(root.join("mine/scenes/one.ladder")).unwrap();
    assert!(
        ladder.contains("\n  out: hello\n  ended: exit status: 0\n"),
        "{ladder}"
    );

    // Nothing new is nothing written.
    let before = fs::read(root.join("mine/scenes/one.jsonl")).unwrap();
    let (ok, said) = run(root, &["record", "mine/scenes/one.toml"]);
    assert!(ok && said.contains("as it was"), "{said}");
    assert_eq!(
        fs::read(root.join("mine/scenes/one.jsonl")).unwrap(),
        before
    );

    let check = || run(root, &["record", "--check", "mine/scenes/one.toml"]);
    let (ok, said) = check();
    assert!(ok && said.contains("as recorded"), "{said}");

    write(
        root,
        "mine/scenes/one.toml",
        &SCENE.replace("hello", "goodbye"),
    );
    let (ok, said) = check();
    assert!(
        !ok && said.contains("the scene mine/one has changed since it was recorded"),
        "{said}"
    );
}

#[test]
fn a_line_that_a_program_no_longer_says_is_named() {
    let folder = small_book();
    let root = folder.path();
    write(root, "mine/scenes/say.sh", "echo hello\n");
    let scene = SCENE.replace("\"-c\", \"echo hello\"", "\"say.sh\"");
    write(root, "mine/scenes/one.toml", &scene);
    if !recorded(root) {
        return;
    }
    write(root, "mine/scenes/say.sh", "echo jello\n");
    let (ok, said) = run(root, &["record", "--check", "mine/scenes/one.toml"]);
    let wanted = "mine/one: FAILED: not as recorded, 3 times: on here: sh say.sh, line 1: \
                  the recording has `out: hello`, this run `out: jello`";
    assert!(!ok && said.contains(wanted), "{said}");
}

#[test]
fn a_scene_that_is_wrong_or_missing_is_named() {
    let folder = small_book();
    let root = folder.path();
    fs::create_dir_all(root.join("listings")).unwrap();
    let (ok, said) = run(root, &["record"]);
    assert!(
        !ok && said.contains("there is no scene below listings/"),
        "{said}"
    );
    let (ok, said) = run(root, &["record", "no.toml"]);
    assert!(!ok && said.contains("there is no scene no.toml"), "{said}");
    write(root, "scenes/wrong.toml", &SCENE.replace("about", "abot"));
    let (ok, said) = run(root, &["record", "scenes/wrong.toml"]);
    assert!(
        !ok && said.contains("scenes/wrong.toml:1: unknown field `abot`"),
        "{said}"
    );
    assert!(said.contains("did you mean `about`?"), "{said}");
}

#[test]
fn a_figure_that_can_t_be_drawn_stops_the_build_with_its_line() {
    let folder = small_book();
    let root = folder.path();
    write(
        root,
        PAGE,
        "# One {#one}\n\n{{#ladder ../none.toml A figure.}}\n",
    );
    let (ok, said) = run(root, &["build"]);
    assert!(
        !ok && said.contains("src/one.md:3: there is no scene ../none.toml"),
        "{said}"
    );
}

/// Who reads pages and who draws figures know nothing of each other.
#[test]
fn every_figure_that_can_be_drawn_is_known_on_pages() {
    assert_eq!(pages::FIGURES, figures::DIRECTIVES);
}

#[test]
fn a_program_of_another_package_is_built_for_the_scene_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(
        root,
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"listings/*\"]\n",
    );
    for name in ["owner", "guest", "stranger"] {
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n");
        write(root, &format!("listings/{name}/Cargo.toml"), &manifest);
        let program = format!("listings/{name}/src/bin/{name}-program.rs");
        write(root, &program, "fn main() {}\n");
    }
    let scene = "listings/owner/scenes/one.toml";
    write(
        root,
        scene,
        "about = \"Nothing.\"\n[[host]]\nname = \"here\"\n\
         [[program]]\nhost = \"here\"\nrun = [\"guest-program\"]\n",
    );
    let scene = wire::SceneFile::at(&root.join(scene));
    let built = book::programs(root, &[scene]).unwrap().first.unwrap();
    let is_built = |name: &str| {
        built
            .join(format!("{name}-program{}", std::env::consts::EXE_SUFFIX))
            .is_file()
    };
    assert!(is_built("owner"));
    assert!(is_built("guest"));
    assert!(!is_built("stranger"));
}

/// In this repository, with programs that are not optimised.
#[cfg(target_os = "linux")]
fn bench(args: &[&str]) -> (bool, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    run(&root, &[&["bench", "--quick", "--debug"], args].concat())
}

#[cfg(target_os = "linux")]
#[test]
fn bench_measures_a_server_and_writes_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    let (ok, said) = bench(&[
        "--only",
        "selectors_server.py",
        "--workload",
        "pingpong-1",
        "--seconds",
        "0.2",
        "--output",
        file.to_str().unwrap(),
    ]);
    // What a machine may lack is said in one line; CI has it all.
    let missing = [
        "needs python3",
        "io_uring, which needs",
        "lets us not use core",
    ];
    if let Some(missing) = missing.iter().find(|missing| said.contains(**missing)) {
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("skipped: {missing}");
        return;
    }
    assert!(ok, "{said}");
    let text = fs::read_to_string(&file).unwrap();
    let results: figures::results::Results = serde_json::from_str(&text).unwrap();
    assert_eq!((results.rounds, results.workloads.len()), (1, 1));
    let workload = &results.workloads[0];
    assert_eq!(workload.servers(), ["selectors_server.py"]);
    assert!(workload.runs[0].measured.total > 0, "{text}");
    assert!(results.versions.contains_key("rustc"));
}

#[cfg(target_os = "linux")]
#[test]
fn bench_names_the_servers_and_workloads_that_it_has() {
    for (args, message) in [
        (
            ["--only", "nginx"],
            "error: there is no server nginx; there are epoll_server.c, ",
        ),
        (
            ["--workload", "web"],
            "error: there is no workload web; there are pingpong-1, ",
        ),
        (["--rounds", "0"], "error: --rounds wants a number above 0"),
        (
            ["--seconds", "NaN"],
            "error: --seconds wants a number above 0",
        ),
    ] {
        let (ok, said) = bench(&args);
        assert!(!ok);
        assert!(said.starts_with(message), "{said}");
    }
}
