//! Small scenes, run for real. The programs on their hosts are this same program, see `peer`.
//!
//! There is no test harness of Rust's own here, because a scene's process must have a single thread.

mod ends;
mod link;
mod peer;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use wire::{Missing, Programs, Recording, SceneFile, Stream, What};

fn main() -> ExitCode {
    if let Some(code) = wire::worker() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("peer") => return peer::main(&arguments[2..]),
        // What the tests that end this process from outside start.
        Some("scene") => {
            return match wire::run(
                &SceneFile::at(Path::new(&arguments[2])),
                &Programs::default(),
            ) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error:#}");
                    ExitCode::FAILURE
                }
            };
        }
        _ => {}
    }
    let trials = link::tests()
        .into_iter()
        .chain(programs::tests())
        .chain(ends::tests());
    let mut arguments = Arguments::from_args();
    // Most of a scene is waiting.
    arguments.test_threads = arguments.test_threads.or(Some(6));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

type Test = fn() -> anyhow::Result<()>;

fn trial(name: &str, test: Test) -> Trial {
    Trial::ignorable_test(name, move || match test() {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast_ref::<Missing>() {
            Some(missing) if std::env::var_os("CI").is_none() => {
                Ok(Completion::ignored_with(missing.to_string()))
            }
            _ => Err(Failed::from(format!("{error:#}"))),
        },
    })
}

/// A scene in a folder of its own.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// `PEER` in the text stands for this program.
    fn new(scene: &str) -> Stage {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let this = std::env::current_exe().expect("this program");
        let scene = format!("about = \"A test.\"\n{scene}")
            .replace("PEER", &format!("\"{}\", \"peer\"", this.display()));
        fs::write(folder.path().join("test.toml"), scene).expect("write the scene");
        Stage { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("test.toml")
    }

    fn file(&self) -> SceneFile {
        SceneFile::at(&self.path())
    }

    fn run(&self) -> anyhow::Result<Recording> {
        wire::run(&self.file(), &Programs::default())
    }
}

/// What a program printed, by its place in the scene.
fn lines(recording: &Recording, index: usize) -> Vec<&str> {
    let line = |what| match what {
        &What::Line {
            program,
            stream: Stream::Out,
            ref text,
        } if program == index => Some(text.as_str()),
        _ => None,
    };
    recording
        .events
        .iter()
        .filter_map(|event| line(&event.what))
        .collect()
}
