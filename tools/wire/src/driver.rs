//! Runs scenes in processes of their own, and compares what comes out with what was recorded.

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::capture::capture_of;
use crate::ladder::{digest, ladder};
use crate::recording::Recording;
use crate::scene::Scene;

/// A scene is recorded this often, and what most runs show is kept.
const RECORDED: usize = 5;
/// A check is passed if one of this many runs is as recorded.
const CHECKED: usize = 3;

const WORKER: &str = "run-scene-in-this-process";
const MISSING: u8 = 3;

/// Something that this machine lacks, so that a scene can't be run on it.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// A scene's file, and the name it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SceneFile {
    /// Such as `echo/hello`: the folder that holds `scenes/`, and the file without `.toml`.
    pub name: String,
    pub path: PathBuf,
}

impl SceneFile {
    /// A scene at a path of any kind.
    pub fn at(path: &Path) -> SceneFile {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let listing = path
            .parent()
            .and_then(Path::parent)
            .and_then(Path::file_name)
            .map_or(String::new(), |name| format!("{}/", name.to_string_lossy()));
        SceneFile {
            name: format!("{listing}{stem}"),
            path: path.to_path_buf(),
        }
    }

    fn folder(&self) -> PathBuf {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_path_buf(),
            _ => PathBuf::from("."),
        }
    }

    pub fn ladder_file(&self) -> PathBuf {
        self.path.with_extension("ladder")
    }

    pub fn events_file(&self) -> PathBuf {
        self.path.with_extension("jsonl")
    }

    pub fn capture_file(&self, host: &str) -> PathBuf {
        self.path.with_extension(format!("{host}.pcapng"))
    }
}

/// Every scene below a folder, in the order of their paths.
pub fn find_scenes(folder: &Path) -> Result<Vec<SceneFile>> {
    let mut scenes = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("read {}", folder.display()))?
                .path();
            if path.is_dir() && !path.is_symlink() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if folder.ends_with("scenes")
                && path.extension().is_some_and(|end| end == "toml")
            {
                scenes.push(SceneFile::at(&path));
            }
        }
    }
    scenes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(scenes)
}

/// Where the programs of scenes are.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// A folder to look in before `PATH`.
    pub first: Option<PathBuf>,
}

impl Programs {
    /// `PATH` for a program on a host: it may start others that are built here.
    #[cfg(target_os = "linux")]
    pub(crate) fn path(&self) -> std::ffi::OsString {
        let others = env::var_os("PATH").unwrap_or_default();
        let all: Vec<PathBuf> = self
            .first
            .iter()
            .cloned()
            .chain(env::split_paths(&others))
            .collect();
        env::join_paths(all).unwrap_or(others)
    }

    /// A command with its program as a path.
    pub(crate) fn resolve(&self, run: &[String], folder: &Path) -> Result<Vec<String>> {
        let name = run.first().context("`run` is empty")?;
        let path = if name.contains('/') {
            Some(folder.join(name)).filter(|path| path.is_file())
        } else {
            let others = env::var_os("PATH").unwrap_or_default();
            let others: Vec<PathBuf> = env::split_paths(&others).collect();
            self.first
                .iter()
                .chain(&others)
                .map(|folder| folder.join(name))
                .find(|path| path.is_file())
        };
        let Some(path) = path else {
            let first = self
                .first
                .as_ref()
                .map_or(String::new(), |first| format!("{} or in ", first.display()));
            let place = if name.contains('/') {
                format!("at {}", folder.join(name).display())
            } else {
                format!("in {first}PATH")
            };
            let message = format!("there is no program {name:?} {place}");
            // What comes with the machine can be missing; what is built here can't.
            return match name.as_str() {
                "python3" | "unshare" | "ss" => Err(anyhow!(Missing(message))),
                _ => Err(anyhow!(message)),
            };
        };
        let path = fs::canonicalize(&path)
            .with_context(|| format!("find {}", path.display()))?
            .into_os_string()
            .into_string()
            .map_err(|path| anyhow!("the path {path:?} is no UTF-8"))?;
        Ok([path].into_iter().chain(run[1..].iter().cloned()).collect())
    }
}

/// Call this first in `main`, before any thread is started: in a process that [`run`] has started, it runs the
/// scene and says how to end.
pub fn worker() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != WORKER {
        return None;
    }
    let scene = PathBuf::from(arguments.next()?);
    let programs = Programs {
        first: arguments.next().map(PathBuf::from),
    };
    let done = work(&SceneFile::at(&scene), &programs);
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            match error.downcast_ref::<Missing>() {
                Some(_) => ExitCode::from(MISSING),
                None => ExitCode::FAILURE,
            }
        }
    })
}

#[cfg(target_os = "linux")]
fn work(file: &SceneFile, programs: &Programs) -> Result<()> {
    let text = read(&file.path)?;
    let scene = Scene::load(&file.path)?;
    crate::lab::enter()?;
    let mut recording = crate::lab::run(&scene, &file.folder(), programs)?;
    recording.head.scene = digest(text.as_bytes());
    let mut output = io::stdout().lock();
    recording.write(&mut output)?;
    output.flush().context("hand over the recording")
}

#[cfg(not(target_os = "linux"))]
fn work(_: &SceneFile, _: &Programs) -> Result<()> {
    let _ = io::stdout;
    Err(anyhow!(Missing(format!(
        "scenes run on Linux, which has network namespaces; this is {}",
        env::consts::OS
    ))))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// Runs a scene once.
///
/// # Errors
///
/// A [`Missing`] (see [`anyhow::Error::downcast_ref`]) if this machine can't run it; else what went wrong.
pub fn run(file: &SceneFile, programs: &Programs) -> Result<Recording> {
    // By this path it is found even when a build has replaced it meanwhile.
    let this = match cfg!(target_os = "linux") {
        true => PathBuf::from("/proc/self/exe"),
        false => env::current_exe().context("find this program")?,
    };
    let mut command = Command::new(this);
    command.arg(WORKER).arg(&file.path);
    if let Some(first) = &programs.first {
        command.arg(first);
    }
    // The worker ends with its input, so it ends with us, however we end.
    let mut worker = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start a process for the scene")?;
    let alive = worker.stdin.take();
    let output = worker.wait_with_output().context("wait for the scene")?;
    drop(alive);
    if output.status.success() {
        let text = String::from_utf8(output.stdout).context("read the scene's result")?;
        return Recording::parse(&text).context("read the scene's result");
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    if output.status.code() == Some(MISSING.into()) {
        bail!(Missing(said));
    }
    match said.is_empty() {
        true => bail!("its process ended without a word: {}", output.status),
        false => bail!("{said}"),
    }
}

/// What became of a scene that was recorded.
#[derive(Debug)]
pub struct Recorded {
    /// How often it was run, and how many of the runs were the same.
    pub runs: usize,
    pub same: usize,
    /// Whether it is not what lay there before.
    pub changed: bool,
}

/// Runs a scene five times, and writes what most of the runs show beside it.
///
/// # Errors
///
/// As [`run`], and when runs show too little in common to be a recording.
pub fn record(file: &SceneFile, programs: &Programs) -> Result<Recorded> {
    let scene = Scene::load(&file.path)?;
    let mut runs: Vec<(Recording, String)> = Vec::new();
    for number in 1..=RECORDED {
        let recording =
            run(file, programs).with_context(|| format!("run {number} of {RECORDED}"))?;
        let ladder = ladder(&recording);
        for expect in &scene.expect {
            ladder
                .expect(&expect.at, &expect.lines)
                .map_err(|missing| anyhow!("run {number} of {RECORDED}: {missing}:\n{ladder}"))?;
        }
        let text = ladder.to_string();
        runs.push((recording, text));
    }
    let mut count: HashMap<&str, usize> = HashMap::new();
    for (_, text) in &runs {
        *count.entry(text).or_default() += 1;
    }
    let same = count.values().copied().max().unwrap_or_default();
    if same * 2 <= RECORDED && scene.races.is_none() {
        let difference = ladder(&runs[1].0).difference(&runs[0].1);
        bail!(
            "only {same} of {RECORDED} runs were the same; if that is its nature, say why in `races` and write \
             an `expect`. {}",
            difference.unwrap_or_default()
        );
    }
    let kept = runs
        .iter()
        .position(|(_, text)| count[text.as_str()] == same);
    let (mut recording, text) = runs.swap_remove(kept.context("there are runs")?);
    recording.head.runs = RECORDED;
    recording.head.same = same;

    // What says the same is left alone: clocks and random numbers would change every file for nothing.
    if let Ok(old) = load(file)
        && (&old.head.kernel, ladder(&old).to_string()) == (&recording.head.kernel, text.clone())
    {
        return Ok(Recorded {
            runs: RECORDED,
            same,
            changed: false,
        });
    }
    let mut events = Vec::new();
    recording.write(&mut events)?;
    // What is left of hosts that are gone must not stay.
    for old in captures(file)? {
        fs::remove_file(&old).with_context(|| format!("remove {}", old.display()))?;
    }
    write(&file.ladder_file(), text.as_bytes())?;
    write(&file.events_file(), &events)?;
    for (index, host) in recording.head.hosts.iter().enumerate() {
        write(
            &file.capture_file(&host.name),
            &capture_of(&recording, index),
        )?;
    }
    Ok(Recorded {
        runs: RECORDED,
        same,
        changed: true,
    })
}

fn captures(file: &SceneFile) -> Result<Vec<PathBuf>> {
    let stem = format!(
        "{}.",
        file.path.file_stem().unwrap_or_default().to_string_lossy()
    );
    let entries = fs::read_dir(file.folder()).context("read the scene's folder")?;
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&stem) && name.ends_with(".pcapng")
        })
        .collect())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    // Whole or not at all: a reader may be looking.
    let new = path.with_extension("new");
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("write {}", path.display()))
}

/// A recording as it lies beside its scene.
///
/// # Errors
///
/// If a file is missing, can't be read, is older than its scene, or does not say what the others say.
pub fn load(file: &SceneFile) -> Result<Recording> {
    let again = format!("record it with: cargo book record {}", file.name);
    if !file.events_file().exists() {
        bail!("the scene {} has no recording; {again}", file.name);
    }
    let recording = Recording::load(&file.events_file())?;
    if recording.head.scene != digest(read(&file.path)?.as_bytes()) {
        bail!(
            "the scene {} has changed since it was recorded; {again}",
            file.name
        );
    }
    if read(&file.ladder_file()).ok() != Some(ladder(&recording).to_string()) {
        bail!(
            "{} does not say what {} says; {again}",
            file.ladder_file().display(),
            file.events_file().display()
        );
    }
    let mut old = captures(file)?;
    for (index, host) in recording.head.hosts.iter().enumerate() {
        let path = file.capture_file(&host.name);
        let capture = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        if capture != capture_of(&recording, index) {
            bail!(
                "{} does not hold what {} says; {again}",
                path.display(),
                file.events_file().display()
            );
        }
        old.retain(|other| *other != path);
    }
    match old.first() {
        Some(old) => bail!(
            "{} belongs to no host of its scene; remove it",
            old.display()
        ),
        None => Ok(recording),
    }
}

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// How often the scene was run.
    pub runs: usize,
    /// Where the run that came nearest differs from the recording, in words.
    pub difference: Option<String>,
    /// The release of the kernel that it was recorded with, if it is not that of this machine.
    pub other_kernel: Option<String>,
}

/// Runs a scene until a run is as recorded, at most three times.
///
/// # Errors
///
/// As [`load`] and [`run`].
pub fn check(file: &SceneFile, programs: &Programs) -> Result<Checked> {
    let scene = Scene::load(&file.path)?;
    let recorded = load(file)?;
    let written = ladder(&recorded).to_string();
    let mut difference = None;
    let mut other_kernel = None;
    for number in 1..=CHECKED {
        let fresh = run(file, programs)?;
        if fresh.head.kernel != recorded.head.kernel {
            other_kernel = Some(recorded.head.kernel.clone());
        }
        let ladder = ladder(&fresh);
        let mut found = scene
            .expect
            .iter()
            .find_map(|expect| ladder.expect(&expect.at, &expect.lines).err());
        if found.is_none() && scene.races.is_none() {
            found = ladder.difference(&written);
        }
        if found.is_none() {
            return Ok(Checked {
                runs: number,
                difference: None,
                other_kernel,
            });
        }
        difference = difference.or(found);
    }
    Ok(Checked {
        runs: CHECKED,
        difference,
        other_kernel,
    })
}

/// Does something with each scene, several at a time, and gives the results in the order of the scenes.
pub fn for_each<R: Send>(
    scenes: &[SceneFile],
    jobs: usize,
    work: impl Fn(&SceneFile) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = scenes.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, scenes.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scene) = scenes.get(index) else {
                        break;
                    };
                    let result = work(scene);
                    *results[index]
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    results
        .into_iter()
        .filter_map(|slot| slot.into_inner().ok().flatten())
        .collect()
}
