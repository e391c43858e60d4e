//! Every recording of the book, against a fresh run of its scene and against `tshark`.
//!
//! A scene runs in a process of its own, which is this program again; so there is no test harness of Rust's here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use book::Outcome;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use passed::{Inputs, Passed, is_ci};
use wire::{Missing, Programs, SceneFile};

/// Held by each scene that runs beside others, and whole by one that must be alone.
static MACHINE: RwLock<()> = RwLock::new(());

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
            move || tshark(&captured),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn scenes(root: &Path) -> Result<(Vec<SceneFile>, Arc<Programs>)> {
    let root: PathBuf = root.canonicalize()?;
    let scenes = wire::find_scenes(&root.join("listings"))?;
    let programs = Programs {
        first: Some(book::build_all(&root)?),
    };
    Ok((scenes, Arc::new(programs)))
}

fn check(scene: &SceneFile, programs: &Programs) -> Result<Completion, Failed> {
    once(
        &format!("{}.run", scene.name),
        inputs(scene, programs),
        || match fresh_run(scene, programs) {
            Outcome::Good(_) => Ok(Completion::Completed),
            Outcome::OtherKernel(said) => Ok(Completion::ignored_with(format!(
                "it differs, and so does the kernel: {said}"
            ))),
            Outcome::Missing(said) => done(Err(Missing(said).into())),
            Outcome::Failed(said) => Err(Failed::from(said)),
        },
    )
}

/// On a slow machine the scenes disturb each other, and what one shows a few milliseconds apart can change places. So the
/// word of one that differs counts only when nothing else was running.
fn fresh_run(scene: &SceneFile, programs: &Programs) -> Outcome {
    let beside = {
        let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        book::check(scene, programs)
    };
    match beside {
        Outcome::Failed(_) => {
            let _whole = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
            book::check(scene, programs)
        }
        judged => judged,
    }
}

/// A scene takes seconds. What has passed, and nothing of it has changed since, has passed.
fn once(
    name: &str,
    inputs: Result<Inputs>,
    work: impl FnOnce() -> Result<Completion, Failed>,
) -> Result<Completion, Failed> {
    let passed = Passed::within(env!("CARGO_TARGET_TMPDIR"), "scenes");
    let known = passed.ok().zip(inputs.ok());
    if known
        .as_ref()
        .is_some_and(|(passed, inputs)| passed.has(name, inputs))
    {
        return Ok(Completion::Completed);
    }
    let result = work()?;
    if let (Completion::Completed, Some((passed, inputs))) = (&result, known) {
        passed.add(name, &inputs);
    }
    Ok(result)
}

/// All that a run depends on: the scene, its recording, the programs, this program and the kernel.
fn inputs(scene: &SceneFile, programs: &Programs) -> Result<Inputs> {
    let mut inputs = Inputs::new()?;
    inputs
        .file(&scene.path)?
        .file(&scene.ladder_file())?
        .file(&scene.events_file())?
        .file(Path::new("/proc/sys/kernel/osrelease"))?;
    for program in wire::Scene::load(&scene.path)?.program {
        for word in &program.run {
            for name in word.split_whitespace() {
                if let Some(path) = programs.first.as_ref().map(|folder| folder.join(name))
                    && path.is_file()
                {
                    inputs.program(&path)?;
                }
            }
        }
    }
    Ok(inputs)
}

fn tshark(scene: &SceneFile) -> Result<Completion, Failed> {
    // That the captures hold what the recording says is checked first, and takes no time.
    let recording = match wire::load(scene) {
        Ok(recording) => recording,
        Err(error) => return done(Err(error)),
    };
    let inputs = || -> Result<Inputs> {
        let mut inputs = Inputs::new()?;
        inputs.file(&scene.events_file())?;
        Ok(inputs)
    };
    once(&format!("{}.tshark", scene.name), inputs(), || {
        let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        let mut hosts = recording.head.hosts.iter().enumerate();
        done(
            hosts.try_for_each(|(index, host)| match recording.is_on_wire(index) {
                true => recordings::compare_with_tshark(
                    &scene.capture_file(&host.name),
                    &recording,
                    index,
                ),
                false => Ok(()),
            }),
        )
    })
}

/// What this machine lacks is no failure, except where everything must be there.
fn done(result: Result<()>) -> Result<Completion, Failed> {
    match result {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast_ref::<Missing>() {
            Some(missing) if !is_ci() => Ok(Completion::ignored_with(missing.to_string())),
            Some(missing) => Err(Failed::from(format!(
                "{missing} (CI is set, so this is required)"
            ))),
            None => Err(Failed::from(format!("{error:#}"))),
        },
    }
}
