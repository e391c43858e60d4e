//! Every recording of the book, against a fresh run of its scene and against `tshark`.
//!
//! A scene runs in a process of its own, which is this program again; so there is no test harness of Rust's here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use book::Outcome;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use wire::{Missing, Programs, SceneFile};

fn main() -> ExitCode {
    if let Some(code) = wire::worker() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // Most of a scene is waiting. More at a time would disturb each other.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (scenes, programs) = match scenes(&root) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for scene in scenes {
        let (fresh, captured) = (scene.clone(), scene.clone());
        let programs = Arc::clone(&programs);
        trials.push(Trial::ignorable_test(
            format!("{}: a fresh run is as recorded", scene.name),
            move || check(&fresh, &programs),
        ));
        trials.push(Trial::ignorable_test(
            format!("{}: tshark says what the ladder says", scene.name),
            move || done(tshark(&captured)),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn scenes(root: &Path) -> Result<(Vec<SceneFile>, Arc<Programs>)> {
    let root: PathBuf = root.canonicalize()?;
    let scenes = wire::find_scenes(&root.join("listings"))?;
    let programs = book::programs(&root, &scenes)?;
    Ok((scenes, Arc::new(programs)))
}

fn check(scene: &SceneFile, programs: &Programs) -> Result<Completion, Failed> {
    match book::check(scene, programs) {
        Outcome::Good(_) => Ok(Completion::Completed),
        Outcome::OtherKernel(said) => Ok(Completion::ignored_with(format!(
            "it differs, and so does the kernel: {said}"
        ))),
        Outcome::Missing(said) => done(Err(Missing(said).into())),
        Outcome::Failed(said) => Err(Failed::from(said)),
    }
}

fn tshark(scene: &SceneFile) -> Result<()> {
    let recording = wire::load(scene)?;
    for (index, host) in recording.head.hosts.iter().enumerate() {
        if recording.is_on_wire(index) {
            recordings::compare_with_tshark(&scene.capture_file(&host.name), &recording, index)?;
        }
    }
    Ok(())
}

/// What this machine lacks is no failure, except where everything must be there.
fn done(result: Result<()>) -> Result<Completion, Failed> {
    match result {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast_ref::<Missing>() {
            Some(missing) if std::env::var_os("CI").is_none() => {
                Ok(Completion::ignored_with(missing.to_string()))
            }
            Some(missing) => Err(Failed::from(format!(
                "{missing} (CI is set, so this is required)"
            ))),
            None => Err(Failed::from(format!("{error:#}"))),
        },
    }
}
