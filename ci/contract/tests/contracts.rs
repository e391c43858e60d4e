//! Every server for many connections against every case of the contract.
//!
//! A case is a test of its own. The small numbers are run, and with `CI` set the full ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use passed::{Inputs, Passed, is_ci};

struct Server {
    /// Of the package below `listings/many/`, and of its program.
    name: &'static str,
    /// What follows the address.
    args: &'static [&'static str],
    /// The cases that it fails by its design, each with the reason. One that passes is a failure of this list.
    fails: &'static [(&'static str, &'static str)],
}

const SERVERS: &[Server] = &[
    Server {
        name: "sequential-server",
        args: &[],
        fails: &[
            ("many", "it serves one client, and the others wait"),
            ("slow", "the slow client is the one that it serves"),
            (
                "deaf",
                "while a client does not read, it waits for that one",
            ),
            ("shutdown", "it has one client that it could answer"),
            ("limit", "its limit is one client, whatever it is told"),
        ],
    },
    Server {
        name: "threads-server",
        args: &[],
        fails: &[],
    },
    Server {
        name: "pool-server",
        args: &[],
        fails: &[(
            "many",
            "a worker stays with its client, and there are 64; clients that stay keep the others out",
        )],
    },
    Server {
        name: "event-loop-server",
        args: &[],
        fails: &[],
    },
    Server {
        name: "tokio-server",
        args: &[],
        fails: &[],
    },
    Server {
        name: "tokio-server",
        args: &["16000", "60000", "2"],
        fails: &[],
    },
    Server {
        name: "uring-server",
        args: &[],
        fails: &[],
    },
];

/// With this status `uring-server` says that the kernel, or a sandbox, does not let it use io_uring.
const NOT_ALLOWED: &str = "the server has ended with exit status: 3,";

/// Where the outputs are that a page shows, each made by running `contract` with one server.
const OUTPUT: &str = "listings/many/threads/contract/output";
const AGAIN: &str = "make it again: target/debug/contract target/debug/SERVER > output/SERVER.txt";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of a case is waiting.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    let trials = match trials() {
        Ok(trials) => trials,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Result<Vec<Trial>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize()?;
    let programs = book::build_all(&root)?;
    let contract = programs.join("contract");
    let listed = Command::new(&contract)
        .arg("--list")
        .output()
        .context("run contract --list")?;
    let listed = String::from_utf8(listed.stdout)?;
    let mut cases: Vec<&str> = listed.lines().collect();
    for server in SERVERS {
        for (case, _) in server.fails {
            ensure!(
                cases.contains(case),
                "{} is to fail {case}, which is no case",
                server.name
            );
        }
    }

    let is_full = is_ci();
    let passed = Arc::new(Passed::within(env!("CARGO_TARGET_TMPDIR"), "contracts")?);
    let outputs = outputs(&root)?;
    let mut trials = Vec::new();
    for (path, output) in &outputs {
        // A line begins with the name of its case.
        let names = output.lines().filter_map(|line| line.split(':').next());
        let all = names.eq(cases.iter().copied());
        let said = format!("{path} is not of the cases that there are; {AGAIN}");
        trials.push(Trial::test(format!("{path}: has each case"), move || {
            if all { Ok(()) } else { Err(said.into()) }
        }));
    }
    // What leaves many ports in TIME_WAIT comes last. The others look through a list of all of them.
    cases.sort_by_key(|case| *case == "churn");
    // Case by case, so that those of one server, with one reason to fail, do not wait for each other.
    for case in cases {
        for server in SERVERS {
            let name = [&[server.name], server.args].concat().join(" ");
            let expected = server.fails.iter().find(|(failed, _)| *failed == case);
            let why = expected.map(|(_, why)| *why);
            // The pages show what the small numbers give, so these are run for them in any case.
            let recorded = outputs
                .get(&format!("{OUTPUT}/{}.txt", server.name))
                .and_then(|output| line_of(output, case));
            let sizes: &[bool] = match (is_full, &recorded) {
                (true, Some(_)) => &[true, false],
                (is_full, _) => &[is_full],
            };
            for full in sizes {
                let mut command = Command::new(&contract);
                if *full {
                    command.arg("--full");
                }
                command
                    .args(["--case", case])
                    .arg(programs.join(server.name))
                    .args(server.args);
                let recorded = recorded.clone().filter(|_| !full);
                let size = if is_full && !full {
                    ", as on a page"
                } else {
                    ""
                };
                let mut inputs = Inputs::new()?;
                inputs
                    .program(&contract)?
                    .program(&programs.join(server.name))?
                    .file(Path::new("/proc/sys/kernel/osrelease"))
                    .ok();
                inputs.add(&recorded);
                let passed = Arc::clone(&passed);
                let name = format!("{name}: {case}{size}");
                trials.push(Trial::ignorable_test(name.clone(), move || {
                    if passed.has(&name, &inputs) {
                        return Ok(Completion::Completed);
                    }
                    let done = check(command, why, recorded.as_deref())?;
                    if matches!(done, Completion::Completed) {
                        passed.add(&name, &inputs);
                    }
                    Ok(done)
                }));
            }
        }
    }
    Ok(trials)
}

/// What `contract` says of some servers, as a page shows it, by its path.
fn outputs(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut outputs = BTreeMap::new();
    for file in root.join(OUTPUT).read_dir().into_iter().flatten() {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        outputs.insert(format!("{OUTPUT}/{name}"), fs::read_to_string(file.path())?);
    }
    Ok(outputs)
}

/// What it says of one case.
fn line_of(output: &str, case: &str) -> Option<String> {
    let mut lines = output.lines();
    let found = lines.find(|line| line.split(':').next() == Some(case));
    found.map(str::to_string)
}

/// Ports and times differ from run to run.
fn without_numbers(text: &str) -> String {
    let mut without = String::new();
    for letter in text.chars() {
        match letter.is_ascii_digit() {
            false => without.push(letter),
            true if without.ends_with('#') => {}
            true => without.push('#'),
        }
    }
    without
}

/// Runs one case, which is expected to fail if there is a reason why.
fn check(
    mut command: Command,
    why: Option<&str>,
    recorded: Option<&str>,
) -> Result<Completion, Failed> {
    let output = command
        .output()
        .map_err(|error| format!("run contract: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.trim_end();
    if said.contains(": skipped: ") {
        return skip(said);
    }
    if said.contains(NOT_ALLOWED) {
        return skip(said);
    }
    match (output.status.code(), why) {
        (Some(0), None) | (Some(1), Some(_)) => match recorded {
            Some(recorded) if without_numbers(recorded) != without_numbers(said) => {
                Err(format!("a page shows `{recorded}`, now it is `{said}`; {AGAIN}").into())
            }
            _ => Ok(Completion::Completed),
        },
        (Some(0), Some(why)) => Err(Failed::from(format!(
            "it was expected to fail, because {why}; it passed"
        ))),
        _ => Err(Failed::from(format!(
            "{}: {said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

fn skip(said: &str) -> Result<Completion, Failed> {
    if is_ci() {
        return Err(Failed::from(format!("not on this machine: {said}")));
    }
    Ok(Completion::ignored_with(said))
}
