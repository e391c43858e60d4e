//! `cargo book record`: runs scenes and writes or checks their recordings.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use wire::{Programs, Scene, SceneFile};

/// What became of a scene.
#[derive(Debug)]
pub enum Outcome {
    /// Written, or as it was recorded.
    Good(String),
    /// This machine lacks something.
    Missing(String),
    /// Not as recorded, but with another kernel than that of the recording.
    OtherKernel(String),
    Failed(String),
}

pub(crate) fn record(root: &Path, names: &[String], check: bool, jobs: usize) -> Result<()> {
    let scenes = scenes(root, names)?;
    let programs = programs(root, &scenes)?;
    let started = Instant::now();
    let count = scenes.len();
    let done = Mutex::new(0);
    let outcomes = wire::for_each(&scenes, jobs, |scene| {
        let begun = Instant::now();
        let outcome = if check {
            self::check(scene, &programs)
        } else {
            write(scene, &programs)
        };
        let took = begun.elapsed();
        let mut done = done
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *done += 1;
        let said = match &outcome {
            Outcome::Good(said) => said.clone(),
            Outcome::Missing(said) => format!("can't be run here: {said}"),
            Outcome::OtherKernel(said) => format!("differs, but so does the kernel: {said}"),
            Outcome::Failed(said) => format!("FAILED: {said}"),
        };
        say(format_args!(
            "[{done}/{count}] {}: {said} ({took:.1?})",
            scene.name
        ));
        outcome
    });
    let s = if count == 1 { "" } else { "s" };
    say(format_args!(
        "{count} scene{s} in {:.1?}",
        started.elapsed()
    ));
    let bad = |outcome: &&Outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Missing(_));
    match outcomes.iter().filter(bad).count() {
        0 => Ok(()),
        bad => bail!("{bad} of {count} scenes are not as they should be"),
    }
}

/// Unlike `println!`, goes on when nobody reads what is written: recordings take their time.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn write(scene: &SceneFile, programs: &Programs) -> Outcome {
    match wire::record(scene, programs) {
        Ok(recorded) => Outcome::Good(format!(
            "{}, {} of {} runs were the same",
            if recorded.changed {
                "written"
            } else {
                "as it was"
            },
            recorded.same,
            recorded.runs
        )),
        Err(error) => failure(&error),
    }
}

/// Runs a scene and compares it with its recording.
pub fn check(scene: &SceneFile, programs: &Programs) -> Outcome {
    match wire::check(scene, programs) {
        Ok(checked) => match (checked.difference, checked.other_kernel) {
            (None, _) if checked.runs == 1 => Outcome::Good("as recorded".to_string()),
            (None, _) => Outcome::Good(format!("as recorded, in run {}", checked.runs)),
            (Some(difference), None) => Outcome::Failed(format!(
                "not as recorded, {} times: {difference}",
                checked.runs
            )),
            (Some(difference), Some(kernel)) => {
                Outcome::OtherKernel(format!("it was recorded with {kernel}. {difference}"))
            }
        },
        Err(error) => failure(&error),
    }
}

fn failure(error: &anyhow::Error) -> Outcome {
    match error.downcast_ref::<wire::Missing>() {
        Some(missing) => Outcome::Missing(missing.to_string()),
        None => Outcome::Failed(format!("{error:#}")),
    }
}

/// The scenes that these names mean: `LISTING/SCENE`, all of a `LISTING`, or the path of a file; no name means all.
fn scenes(root: &Path, names: &[String]) -> Result<Vec<SceneFile>> {
    let listings = root.join("listings");
    let all = match listings.is_dir() {
        true => wire::find_scenes(&listings)?,
        false => Vec::new(),
    };
    ensure!(
        !all.is_empty() || !names.is_empty(),
        "there is no scene below listings/"
    );
    if names.is_empty() {
        return Ok(all);
    }
    let mut wanted = Vec::new();
    for name in names {
        if name.ends_with(".toml") {
            let path = Path::new(name);
            ensure!(path.is_file(), "there is no scene {name}");
            wanted.push(SceneFile::at(path));
            continue;
        }
        let before = wanted.len();
        let listing = format!("{name}/");
        wanted.extend(
            all.iter()
                .filter(|scene| scene.name == *name || scene.name.starts_with(&listing))
                .cloned(),
        );
        if wanted.len() == before {
            let names: Vec<&str> = all.iter().map(|scene| scene.name.as_str()).collect();
            bail!("there is no scene {name}; there are {}", names.join(", "));
        }
    }
    Ok(wanted)
}

/// Builds the programs of the listings that these scenes belong to, and of those whose programs they name.
pub fn programs(root: &Path, scenes: &[SceneFile]) -> Result<Programs> {
    if !root.join("Cargo.toml").is_file() {
        return Ok(Programs::default());
    }
    let metadata = metadata(root)?;
    let mut build = cargo();
    build.args(["build", "--quiet", "--bins"]).current_dir(root);
    let mut any = false;
    let named = named(scenes);
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().unwrap_or(root);
        let owns = scenes.iter().any(|scene| scene.path.starts_with(folder));
        if owns || package.programs().any(|name| named.contains(name)) {
            build.args(["-p", &package.name]);
            any = true;
        }
    }
    if any {
        let status = build.status().context("run cargo build")?;
        ensure!(
            status.success(),
            "the programs of the scenes can't be built"
        );
    }
    Ok(Programs {
        first: Some(metadata.target_directory.join("debug")),
    })
}

/// Builds everything as `cargo test` does, for which it is nothing new; returns the folder of the programs.
///
/// To build some packages alone would be more to do: with other features of their dependencies, these and all
/// above them are compiled once more.
pub fn build_all(root: &Path) -> Result<PathBuf> {
    let status = cargo()
        .args(["test", "--quiet", "--workspace", "--no-run"])
        .current_dir(root)
        .status()
        .context("run cargo test --no-run")?;
    ensure!(status.success(), "the workspace can't be built");
    Ok(metadata(root)?.target_directory.join("debug"))
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn metadata(root: &Path) -> Result<Metadata> {
    let metadata = cargo()
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    serde_json::from_slice(&metadata.stdout).map_err(|_| {
        anyhow!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&metadata.stderr).trim()
        )
    })
}

/// The programs that scenes run. What is wrong with a scene is said when it is run.
fn named(scenes: &[SceneFile]) -> BTreeSet<String> {
    let scenes = scenes.iter();
    let loaded = scenes.filter_map(|scene| Scene::load(&scene.path).ok());
    let programs = loaded.flat_map(|scene| scene.program);
    programs
        .filter_map(|program| program.run.into_iter().next())
        .collect()
}

#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

impl Package {
    fn programs(&self) -> impl Iterator<Item = &str> {
        let programs = |target: &&Target| target.kind.iter().any(|kind| kind == "bin");
        let targets = self.targets.iter().filter(programs);
        targets.map(|target| target.name.as_str())
    }
}

#[derive(serde::Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}
