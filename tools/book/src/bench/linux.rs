//! Builds, starts, measures and stops the servers.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use figures::results::{
    Calls, Machine, Measured, Profile, Results, Run, Skipped, Spread, Workload,
};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Options;

/// The listing of the generator; results and peers lie in it.
const FOLDER: &str = "listings/many/measured/load";

/// The core of the server, and that of the generator.
const CORES: [usize; 2] = [0, 1];

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(10);

const WARM_UP: f64 = 0.5;

/// What a host may take away, in percent. When it was 8 and more, rounds differed by a factor of two.
const QUIET: f64 = 5.0;

/// What a server has computed when all connections of a hundred are surely there.
const WORKED: Duration = Duration::from_millis(300);

/// How a server is started.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// A package of this workspace, with what it is given after the address.
    Rust(&'static [&'static str]),
    /// A file in `c/` beside the generator, and the same.
    C(&'static str, &'static [&'static str]),
    Python,
}

#[derive(Debug, Clone, Copy)]
struct Server {
    name: &'static str,
    kind: Kind,
    /// How many connections it serves at once.
    most: usize,
    /// Why no more.
    why: &'static str,
}

const SERVERS: [Server; 9] = [
    Server {
        name: "epoll_server.c",
        kind: Kind::C("epoll_server.c", &[]),
        most: usize::MAX,
        why: "",
    },
    Server {
        name: "sequential-server",
        kind: Kind::Rust(&[]),
        most: 1,
        why: "serves one connection at a time",
    },
    Server {
        name: "threads-server",
        kind: Kind::Rust(&["16000"]),
        most: usize::MAX,
        why: "",
    },
    Server {
        name: "pool-server",
        kind: Kind::Rust(&["128"]),
        most: 128,
        why: "was given 128 threads; the other connections would wait until one of those closes",
    },
    Server {
        name: "event-loop-server",
        kind: Kind::Rust(&[]),
        most: usize::MAX,
        why: "",
    },
    Server {
        name: "tokio-server",
        kind: Kind::Rust(&[]),
        most: usize::MAX,
        why: "",
    },
    Server {
        name: "uring-server",
        kind: Kind::Rust(&[]),
        most: usize::MAX,
        why: "",
    },
    Server {
        name: "selectors_server.py",
        kind: Kind::Python,
        most: usize::MAX,
        why: "",
    },
    Server {
        name: "asyncio_server.py",
        kind: Kind::Python,
        most: usize::MAX,
        why: "",
    },
];

/// The server in C without `TCP_NODELAY`. Measured where that matters.
const NAGLING: Server = Server {
    name: "epoll_server.c nagle",
    kind: Kind::C("epoll_server.c", &["nagle"]),
    most: usize::MAX,
    why: "",
};

/// Measured by the last two workloads alone.
const STALLING: Server = Server {
    name: "load-stall",
    kind: Kind::Rust(&[]),
    most: 64,
    why: "",
};

struct Load {
    name: &'static str,
    about: &'static str,
    /// How many connections are there at once.
    connections: usize,
    /// Whether each of them closes after one message.
    is_brief: bool,
    is_stalled: bool,
    /// Whether an answer is written in several pieces.
    is_large: bool,
    arguments: &'static str,
}

const fn load(
    name: &'static str,
    about: &'static str,
    connections: usize,
    arguments: &'static str,
) -> Load {
    Load {
        name,
        about,
        connections,
        is_brief: false,
        is_stalled: false,
        is_large: false,
        arguments,
    }
}

const LOADS: [Load; 9] = [
    load(
        "pingpong-1",
        "64 bytes to and fro, on 1 connection",
        1,
        "ping-pong --connections 1",
    ),
    load(
        "pingpong-100",
        "64 bytes to and fro, on 100 connections",
        100,
        "ping-pong --connections 100",
    ),
    load(
        "pingpong-1000",
        "64 bytes to and fro, on 1,000 connections",
        1000,
        "ping-pong --connections 1000",
    ),
    Load {
        is_large: true,
        ..load(
            "large",
            "64 KiB to and fro, on 16 connections",
            16,
            "ping-pong --connections 16 --size 65536",
        )
    },
    load(
        "held",
        "64 bytes to and fro on 100 of 10,000 connections",
        10_000,
        "ping-pong --connections 10000 --active 100 --idle 1",
    ),
    load(
        "open",
        "10,000 messages of 64 bytes a second, by the clock, on 100 connections",
        100,
        "open --connections 100 --rate 10000",
    ),
    Load {
        is_brief: true,
        ..load(
            "connects",
            "Connect, one message of 64 bytes, close; 50 at once",
            50,
            "connects --connections 50",
        )
    },
    Load {
        is_stalled: true,
        ..load(
            "stall-closed",
            "A server that stands still, in a closed loop",
            1,
            "ping-pong --connections 1",
        )
    },
    Load {
        is_stalled: true,
        ..load(
            "stall-open",
            "The same server, 1,000 messages a second by the clock",
            1,
            "open --connections 1 --rate 1000",
        )
    },
];

impl Load {
    /// Why this server has no part in it.
    fn refuses(&self, server: &Server) -> Option<&'static str> {
        // One that closes makes room for the next one.
        (!self.is_brief && self.connections > server.most).then_some(server.why)
    }
}

pub(crate) fn bench(root: &Path, options: &Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let seconds = options
        .seconds
        .unwrap_or(if options.quick { 0.5 } else { 3.0 });
    ensure!(rounds > 0, "--rounds wants a number above 0");
    ensure!(
        seconds.is_finite() && seconds > 0.0,
        "--seconds wants a number above 0"
    );
    let (loads, servers) = chosen(options)?;
    check_cores()?;
    raise_descriptor_limit()?;
    let programs = Programs::build(root, &servers, options.debug)?;

    let mut workloads = Vec::new();
    let (begun, cores) = (Instant::now(), Cores::now()?);
    for load in &loads {
        let workload = measure(load, &servers, &programs, rounds, seconds)?;
        workloads.push(workload);
    }
    let (mut calls, mut profiles) = (Vec::new(), Vec::new());
    if loads.iter().any(|load| load.name == "pingpong-100") {
        for server in &servers {
            if server.most >= 100 && programs.missing(server).is_none() {
                calls.extend(count_calls(server, &programs)?);
                profiles.extend(profile(server, &programs)?);
            }
        }
    }
    let results = Results {
        date: said("date", &["-u", "+%F"]).unwrap_or_default(),
        machine: machine()?,
        versions: versions(root)?,
        rounds,
        seconds,
        workloads,
        calls,
        profiles,
    };
    say(format_args!("measured in {:.0?}", begun.elapsed()));
    let stolen = Cores::now()?.stolen_since(&cores);
    if stolen >= QUIET {
        say(format_args!(
            "this machine is a virtual one, and its host took away {stolen:.0} % of the cores meanwhile: measure again when it is quiet"
        ));
    }
    let is_whole = !options.quick && options.only.is_empty() && options.workload.is_empty();
    let file = match &options.output {
        Some(file) => file.clone(),
        None if is_whole && !options.debug => root.join(FOLDER).join("results/bench.json"),
        None => {
            say("not all was measured in full, so nothing is written; --output FILE writes it");
            return Ok(());
        }
    };
    write(&file, &results)?;
    say(format_args!("written to {}", file.display()));
    Ok(())
}

/// What the kernel counts of all cores, in hundredths of a second: the time that passed, and what a hypervisor took of it.
struct Cores {
    all: u64,
    stolen: u64,
}

impl Cores {
    fn now() -> Result<Cores> {
        let path = "/proc/stat";
        let stat = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        let first = stat.lines().next().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq and steal; what comes after them is in these.
        let times: Vec<u64> = first
            .split_whitespace()
            .skip(1)
            .take(8)
            .map_while(|time| time.parse().ok())
            .collect();
        let stolen = *times.get(7).with_context(|| format!("{path}: {first}"))?;
        Ok(Cores {
            all: times.iter().sum(),
            stolen,
        })
    }

    /// In percent.
    fn stolen_since(&self, before: &Cores) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        100.0 * self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// The workloads and servers that the options mean.
fn chosen(options: &Options) -> Result<(Vec<&'static Load>, Vec<Server>)> {
    for name in &options.workload {
        if !LOADS.iter().any(|load| load.name == name) {
            let names: Vec<_> = LOADS.iter().map(|load| load.name).collect();
            bail!(
                "there is no workload {name}; there are {}",
                names.join(", ")
            );
        }
    }
    for name in &options.only {
        if !SERVERS.iter().any(|server| server.name == name) {
            let names: Vec<_> = SERVERS.iter().map(|server| server.name).collect();
            bail!("there is no server {name}; there are {}", names.join(", "));
        }
    }
    let loads = LOADS
        .iter()
        .filter(|load| {
            options.workload.is_empty() || options.workload.iter().any(|n| n == load.name)
        })
        // No server of the list is measured by these.
        .filter(|load| options.only.is_empty() || !load.is_stalled)
        .collect();
    let servers = SERVERS
        .into_iter()
        .filter(|server| options.only.is_empty() || options.only.iter().any(|n| n == server.name))
        .collect();
    Ok((loads, servers))
}

/// All rounds of one workload. The servers take turns, so that what changes on the machine meets all of them.
fn measure(
    load: &Load,
    servers: &[Server],
    programs: &Programs,
    rounds: usize,
    seconds: f64,
) -> Result<Workload> {
    let mut servers = servers.to_vec();
    if load.is_stalled {
        servers = vec![STALLING];
    } else if load.is_large {
        let is_plain = |server: &Server| server.name == figures::results::BASE;
        if let Some(plain) = servers.iter().position(is_plain) {
            servers.insert(plain + 1, NAGLING);
        }
    }
    let mut workload = Workload {
        name: load.name.to_string(),
        about: load.about.to_string(),
        arguments: format!("{} --seconds {seconds}", load.arguments),
        runs: Vec::new(),
        skipped: Vec::new(),
    };
    let mut able = Vec::new();
    for server in &servers {
        let why = load.refuses(server).map(str::to_string);
        match why.or_else(|| programs.missing(server)) {
            None => able.push(*server),
            Some(why) => workload.skipped.push(Skipped {
                server: server.name.to_string(),
                why,
            }),
        }
    }
    for round in 1..=rounds {
        able.retain(|server| match run(load, server, programs, seconds) {
            Ok(measured) => {
                say(format_args!(
                    "{} {round}/{rounds} {}: {:.0} a second, p99 {:.0} µs, CPU {:.2} and {:.2} of the generator{}",
                    load.name,
                    server.name,
                    measured.per_second,
                    measured.p99_us,
                    measured.server_cpu,
                    measured.cpu,
                    match measured.errors {
                        0 => String::new(),
                        errors => format!(", {errors} errors"),
                    }
                ));
                workload.runs.push(Run {
                    server: server.name.to_string(),
                    round,
                    measured,
                });
                true
            }
            Err(error) => {
                say(format_args!("{} {round}/{rounds} {}: {error:#}", load.name, server.name));
                workload.runs.retain(|run| run.server != server.name);
                workload.skipped.push(Skipped {
                    server: server.name.to_string(),
                    why: format!("{error:#}"),
                });
                false
            }
        });
    }
    for server in workload.servers() {
        if let Some(Spread {
            least,
            median,
            most,
        }) = workload.spread(server, |measured| Some(measured.per_second))
        {
            say(format_args!(
                "{} {server}: {median:.0} a second ({least:.0} to {most:.0})",
                load.name
            ));
        }
    }
    Ok(workload)
}

fn run(load: &Load, server: &Server, programs: &Programs, seconds: f64) -> Result<Measured> {
    let mut running = Running::start(programs.command(server), server.name)?;
    let measured = generate(load.arguments, &running, programs, seconds)?;
    running.stop()?;
    Ok(measured)
}

/// Runs the generator against a server.
fn generate(
    arguments: &str,
    running: &Running,
    programs: &Programs,
    seconds: f64,
) -> Result<Measured> {
    let output = Command::new(programs.folder.join("load"))
        .arg(&running.addr)
        .args(arguments.split_whitespace())
        .args(["--seconds", &seconds.to_string()])
        .args(["--warm-up", &WARM_UP.min(seconds).to_string()])
        .args(["--core", &CORES[1].to_string()])
        .args(["--server", &running.child.id().to_string()])
        .output()
        .context("start load")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("read what load says")
}

/// A server, ended when it goes out of scope.
struct Running {
    child: Child,
    addr: String,
    name: &'static str,
}

impl Running {
    fn start(mut command: Command, name: &'static str) -> Result<Running> {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        // A child begins on the cores of the thread that starts it.
        let started = thread::scope(|scope| {
            let start = || -> Result<Child> {
                let mut cores = CpuSet::new();
                cores.set(CORES[0])?;
                sched_setaffinity(Pid::from_raw(0), &cores).context("choose a core")?;
                Ok(command.spawn()?)
            };
            scope.spawn(start).join()
        });
        let child = started
            .map_err(|_| anyhow::anyhow!("the thread that starts it has panicked"))
            .and_then(|started| started)
            .with_context(|| format!("start {name}"))?;
        let mut running = Running {
            child,
            addr: String::new(),
            name,
        };
        let stdout = running.child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .with_context(|| format!("read what {name} prints"))?;
        running.addr = line
            .trim()
            .strip_prefix("listening on ")
            .with_context(|| format!("{name} does not say where it listens"))?
            .to_string();
        Ok(running)
    }

    /// Returns when it has computed for a while, which it does when the connections are there.
    fn wait_for_work(&self) -> Result<()> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let mut worked = Duration::ZERO;
            for task in fs::read_dir(&tasks).with_context(|| format!("read {tasks}"))? {
                // A thread that has ended has no time any more. The first number is the time on a core.
                let times = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
                let nanoseconds = times.split(' ').next().and_then(|time| time.parse().ok());
                worked += Duration::from_nanos(nanoseconds.unwrap_or(0));
            }
            if worked >= WORKED {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("{} has nothing to do", self.name)
    }

    fn stop(&mut self) -> Result<()> {
        let id = Pid::from_raw(self.child.id().cast_signed());
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended by itself: {status}", self.name);
        }
        kill(id, Signal::SIGTERM).with_context(|| format!("stop {}", self.name))?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("{} goes on after SIGTERM", self.name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The programs, built.
struct Programs {
    root: PathBuf,
    /// Where cargo puts them.
    folder: PathBuf,
    /// Packages that are in the workspace.
    packages: Vec<String>,
    has_cc: bool,
    /// Python itself, where `python3` is a script that looks for it.
    python: Option<String>,
}

impl Programs {
    fn build(root: &Path, servers: &[Server], debug: bool) -> Result<Programs> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(&cargo)
            .args(["metadata", "--format-version=1", "--no-deps"])
            .current_dir(root)
            .output()
            .context("run cargo metadata")?;
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("read what cargo metadata says")?;
        let profile = if debug { "debug" } else { "release" };
        let folder = metadata.target_directory.join(profile);
        let mut programs = Programs {
            root: root.to_path_buf(),
            folder,
            packages: metadata
                .packages
                .into_iter()
                .map(|package| package.name)
                .collect(),
            has_cc: false,
            python: said("python3", &["-c", "import sys; print(sys.executable)"]),
        };
        let mut build = Command::new(&cargo);
        build.args(["build", "--quiet", "--bins", "-p", "load"]);
        if !debug {
            build.arg("--release");
        }
        for server in servers {
            let is_there = programs
                .packages
                .iter()
                .any(|package| package == server.name);
            if matches!(server.kind, Kind::Rust(_)) && is_there {
                build.args(["-p", server.name]);
            }
        }
        say("building");
        let status = build
            .current_dir(root)
            .status()
            .context("run cargo build")?;
        ensure!(status.success(), "the programs can't be built");
        for server in servers {
            let Kind::C(source, _) = server.kind else {
                continue;
            };
            let made = Command::new("cc")
                .args(["-O2", "-o"])
                .arg(programs.folder.join(source.trim_end_matches(".c")))
                .arg(root.join(FOLDER).join("c").join(source))
                .status();
            programs.has_cc = match made {
                Ok(status) => {
                    ensure!(status.success(), "{source} can't be compiled");
                    true
                }
                Err(_) => false,
            };
        }
        Ok(programs)
    }

    /// What this machine lacks for a server.
    fn missing(&self, server: &Server) -> Option<String> {
        match server.kind {
            Kind::Rust(_) if server.name == STALLING.name => None,
            Kind::Rust(_) => (!self.packages.iter().any(|package| package == server.name))
                .then(|| "is not in this repository".to_string()),
            Kind::C(..) => {
                (!self.has_cc).then(|| "needs cc, which is not on this machine".to_string())
            }
            Kind::Python => self
                .python
                .is_none()
                .then(|| "needs python3, which is not on this machine".to_string()),
        }
    }

    /// The server as it is started, on a port that the kernel chooses.
    fn command(&self, server: &Server) -> Command {
        let any = "127.0.0.1:0";
        match server.kind {
            Kind::Rust(args) => {
                let mut command = Command::new(self.folder.join(server.name));
                command.arg(any).args(args);
                command
            }
            Kind::C(source, args) => {
                let program = self.folder.join(source.trim_end_matches(".c"));
                let mut command = Command::new(program);
                command.arg(any).args(args);
                command
            }
            Kind::Python => {
                let python = self.python.as_deref().unwrap_or("python3");
                let mut command = Command::new(python);
                let script = self.root.join(FOLDER).join("python").join(server.name);
                command.arg(script).arg(any);
                command
            }
        }
    }
}

/// Counts the system calls of a server for a second, with strace. `None`, with a word of why, where that can't be done.
fn count_calls(server: &Server, programs: &Programs) -> Result<Option<Calls>> {
    if said("strace", &["--version"]).is_none() {
        say("strace is not on this machine, so no system calls are counted");
        return Ok(None);
    }
    let folder = tempfile::tempdir().context("make a folder")?;
    let summary = folder.path().join("calls");
    let plain = programs.command(server);
    let mut traced = Command::new("strace");
    // `-D`: the program that we start is the server, not strace.
    traced.args(["-D", "-f", "-c", "-o"]).arg(&summary);
    traced.arg(plain.get_program()).args(plain.get_args());
    let mut running = Running::start(traced, server.name)?;
    let measured = generate("ping-pong --connections 100", &running, programs, 1.0);
    running.stop()?;
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            say(format_args!("{} under strace: {error:#}", server.name));
            return Ok(None);
        }
    };
    // strace writes when the server has ended.
    let until = Instant::now() + PATIENCE;
    let text = loop {
        let text = fs::read_to_string(&summary).unwrap_or_default();
        if text.lines().any(|line| line.ends_with(" total")) {
            break text;
        }
        ensure!(Instant::now() < until, "strace writes nothing");
        thread::sleep(Duration::from_millis(10));
    };
    let calls = parse_calls(&text);
    let all: u64 = calls.values().sum();
    say(format_args!(
        "{}: {:.2} system calls a message",
        server.name,
        all as f64 / measured.total as f64
    ));
    Ok(Some(Calls {
        server: server.name.to_string(),
        messages: measured.total,
        calls,
    }))
}

/// The table that `strace -c` writes: share, seconds, microseconds a call, calls, errors if there were some, name.
fn parse_calls(text: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [share, _, _, count, .., name] = words[..]
            && share.parse::<f64>().is_ok()
            && name != "total"
            && let Ok(count) = count.parse()
        {
            calls.insert(name.to_string(), count);
        }
    }
    calls
}

/// Samples for two seconds where a server spends its time. `None`, with a word of why, where that can't be done.
fn profile(server: &Server, programs: &Programs) -> Result<Option<Profile>> {
    let none = |why: &dyn Display| {
        say(format_args!("{}: no profile: {why}", server.name));
        Ok(None)
    };
    if said("perf", &["--version"]).is_none() {
        return none(&"perf is not on this machine");
    }
    let folder = tempfile::tempdir().context("make a folder")?;
    let samples = folder.path().join("samples");
    let mut running = Running::start(programs.command(server), server.name)?;
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-g", "-F", "2000", "-o"])
        .arg(&samples)
        .args(["-p", &running.child.id().to_string()])
        // It ends with the first of them.
        .args(["--", "sleep", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (measured, perf) = thread::scope(|scope| {
        let load = scope.spawn(|| generate("ping-pong --connections 100", &running, programs, 6.0));
        // It follows no threads that start later, so all connections have to be there. And it must have looked at every
        // thread before the first has ended, with no core of its own.
        let perf = running
            .wait_for_work()
            .and_then(|()| perf.spawn().context("start perf"));
        (load.join(), perf)
    });
    let measured = measured.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    // The rounds before have taken long: they are not lost for want of a profile.
    let perf = match perf {
        Ok(perf) => perf,
        Err(error) => return none(&format_args!("{error:#}")),
    };
    let stopped = running.stop();
    let perf = perf.wait_with_output().context("wait for perf")?;
    stopped?;
    if let Err(error) = measured {
        return none(&format_args!("{error:#}"));
    }
    if !perf.status.success() {
        let said = String::from_utf8_lossy(&perf.stderr);
        return none(&format_args!(
            "perf record: {}: {}",
            perf.status,
            said.trim()
        ));
    }
    let report = |more: &[&str]| -> Result<String> {
        let output = Command::new("perf")
            .args(["report", "-g", "none", "-i"])
            .arg(&samples)
            .args(more)
            .output()
            .context("run perf report")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let symbols = report(&["--children", "--sort", "symbol"])?;
    let places = report(&["--no-children", "--sort", "dso"])?;
    let tcp = percent(&symbols, "tcp_sendmsg") + percent(&symbols, "tcp_recvmsg");
    let profile = Profile {
        server: server.name.to_string(),
        // No more than is known.
        tcp: (tcp * 10.0).round() / 10.0,
        kernel: percent(&places, "[kernel.kallsyms]"),
    };
    if profile.tcp == 0.0 {
        return none(&"perf saw nothing of TCP: the kernel may be hidden (kernel.kptr_restrict)");
    }
    say(format_args!(
        "{}: {:.0} % of its time in TCP, {:.0} % in the kernel",
        server.name, profile.tcp, profile.kernel
    ));
    Ok(Some(profile))
}

/// The first percentage of the line of `perf report` that has this word.
fn percent(report: &str, word: &str) -> f64 {
    let mut lines = report.lines().map(str::split_whitespace);
    let line = lines.find(|words| words.clone().any(|other| other == word));
    line.and_then(|mut words| words.next()?.strip_suffix('%')?.parse().ok())
        .unwrap_or(0.0)
}

/// Both cores must be ours to use.
fn check_cores() -> Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("ask for the cores")?;
    for core in CORES {
        ensure!(
            allowed.is_set(core)?,
            "the server runs on core {} and the generator on core {}; this machine, or this container, lets us not use core {core}",
            CORES[0],
            CORES[1]
        );
    }
    Ok(())
}

/// For the servers, which inherit it. The generator says it if the limit is too low.
fn raise_descriptor_limit() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("setrlimit")?;
    }
    Ok(())
}

fn machine() -> Result<Machine> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
    let cpuinfo = read("/proc/cpuinfo")?;
    let cpu = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    let meminfo = read("/proc/meminfo")?;
    let kilobytes: f64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    Ok(Machine {
        cpu: cpu.to_string(),
        cores: thread::available_parallelism()?.get(),
        memory_gib: (kilobytes / 1024.0 / 1024.0 * 10.0).round() / 10.0,
        kernel: said("uname", &["-r"]).unwrap_or_default(),
        congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control")?
            .trim()
            .to_string(),
    })
}

fn versions(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for (name, program) in [("rustc", "rustc"), ("python", "python3"), ("cc", "cc")] {
        if let Some(said) = said(program, &["--version"]) {
            let said = said.lines().next().unwrap_or_default().to_string();
            versions.insert(name.to_string(), said);
        }
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    let lock: toml_edit::DocumentMut = lock.parse().context("read Cargo.lock")?;
    let packages = lock["package"].as_array_of_tables();
    for package in packages.into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(|value| value.as_str());
        if let (Some(name), Some(version)) = (text("name"), text("version"))
            && ["mio", "tokio", "io-uring"].contains(&name)
        {
            versions.insert(name.to_string(), version.to_string());
        }
    }
    Ok(versions)
}

/// What a program prints, if it is there and succeeds.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    output.status.success().then_some(said)
}

fn write(file: &Path, results: &Results) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read_with_errors_and_without() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.600000           6    100000        12 recvfrom
 40.00    0.400000           4     99988           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    1.000000           5    199988        12 total
";
        let calls = parse_calls(text);
        assert_eq!(calls.len(), 2);
        assert_eq!(calls["recvfrom"], 100_000);
        assert_eq!(calls["sendto"], 99_988);
    }

    #[test]
    fn a_share_is_that_of_the_whole_word() {
        let text = "\
# Children      Self  Symbol
    71.57%     0.26%  [k] tcp_sendmsg_locked  -  -
    70.31%     0.30%  [k] tcp_sendmsg         -  -
";
        assert_eq!(percent(text, "tcp_sendmsg"), 70.31);
        assert_eq!(percent(text, "tcp_recvmsg"), 0.0);
        assert_eq!(
            percent("    95.85%  [kernel.kallsyms]", "[kernel.kallsyms]"),
            95.85
        );
    }
}
