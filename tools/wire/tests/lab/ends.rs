//! How scenes end that can't go on: with a message, and with nothing left behind.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;

use crate::{Stage, trial};

pub fn tests() -> Vec<Trial> {
    vec![
        trial("a_scene_that_does_not_end_says_whom_it_waits_for", endless),
        trial(
            "a_server_that_ends_at_once_is_named_with_its_words",
            failing_server,
        ),
        trial("a_server_that_is_never_ready_is_named", silent_server),
        trial("a_program_that_does_not_exist_is_named", no_program),
        trial("nothing_is_left_after_kill_9_or_ctrl_c", nothing_left),
        trial("a_device_that_is_missing_is_named", no_device),
        trial("namespaces_that_are_used_up_are_named", no_namespaces),
    ]
}

const ONE: &str = "[[host]]\nname = \"a\"\n";

fn error_of(scene: &str) -> Result<String> {
    match Stage::new(scene).run() {
        Ok(recording) => bail!("it ended well: {recording:?}"),
        Err(error) if error.is::<wire::Missing>() => Err(error),
        Err(error) => Ok(format!("{error:#}")),
    }
}

fn endless() -> Result<()> {
    let scene = format!(
        "limit = \"300ms\"\n{ONE}[[program]]\nhost = \"a\"\nrun = [PEER, \"wait\", \"mark\"]\n"
    );
    let said = error_of(&scene)?;
    ensure!(
        said.contains("after 300ms it still waited for the end of")
            && said.ends_with("on a; it said: waiting"),
        "{said}"
    );
    Ok(())
}

fn failing_server() -> Result<()> {
    let said = error_of(&format!(
        "ends = \"1s\"\n{ONE}[[program]]\nhost = \"a\"\nserves = true\nrun = [PEER, \"fail\"]\n"
    ))?;
    ensure!(
        said.contains("ended before it was ready (exit status: 1)") && said.contains("no luck"),
        "{said}"
    );
    Ok(())
}

fn silent_server() -> Result<()> {
    let scene = format!(
        "limit = \"300ms\"\nends = \"1s\"\n{ONE}[[program]]\nhost = \"a\"\nserves = true\nrun = [PEER, \"wait\", \"mark\"]\n"
    );
    let said = error_of(&scene)?;
    ensure!(
        said.contains("was not ready after 300ms; it said: waiting"),
        "{said}"
    );
    Ok(())
}

fn no_program() -> Result<()> {
    let said = error_of(&format!(
        "{ONE}[[program]]\nhost = \"a\"\nrun = [\"no-such-program\"]\n"
    ))?;
    ensure!(
        said == "there is no program \"no-such-program\" in PATH",
        "{said}"
    );
    Ok(())
}

/// Processes whose command line holds this word.
fn processes(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>());
    entries
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(word))
        .collect()
}

fn until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        ensure!(Instant::now() < deadline, "it did not happen: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn nothing_left() -> Result<()> {
    // A scene that can't be run here has nothing to leave.
    Stage::new(&format!(
        "{ONE}[[program]]\nhost = \"a\"\nrun = [PEER, \"bind\", \"10.0.0.1:7000\"]\n"
    ))
    .run()?;
    for signal in ["KILL", "INT"] {
        let mark = format!("mark-{}-{signal}", std::process::id());
        let stage = Stage::new(&format!(
            "{ONE}[[program]]\nhost = \"a\"\nrun = [PEER, \"wait\", \"{mark}\"]\n"
        ));
        let mut tool = Command::new(std::env::current_exe()?)
            .arg("scene")
            .arg(stage.path())
            .stderr(Stdio::null())
            .spawn()?;
        let path = stage.path().display().to_string();
        // The program's child, the program, and the scene's process.
        until("the scene runs", || processes(&mark).len() >= 2)?;
        let id = tool.id().to_string();
        ensure!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()?
                .success()
        );
        tool.wait().context("wait for the tool")?;
        until("everything ends", || {
            processes(&mark).is_empty() && processes(&path).is_empty()
        })?;
        let files: Vec<_> = fs::read_dir(stage.folder.path())?
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        ensure!(files == ["test.toml"], "{files:?}");
    }
    Ok(())
}

/// Runs a scene after a shell, as root of a user namespace, has taken something away.
fn without(what: &str) -> Result<String> {
    let stage = Stage::new(&format!(
        "{ONE}[[program]]\nhost = \"a\"\nrun = [PEER, \"bind\", \"10.0.0.1:7000\"]\n"
    ));
    stage.run()?; // if it can't be run here at all, that is why
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{what} && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe()?)
        .arg("scene")
        .arg(stage.path())
        .output()
        .map_err(|_| wire::Missing("unshare is not installed".to_string()))?;
    Ok(String::from_utf8_lossy(&output.stderr).trim().to_string())
}

fn no_device() -> Result<()> {
    let said = without("mount -t tmpfs none /dev/net")?;
    ensure!(
        said.ends_with("/dev/net/tun: there is no such device; in a container, pass it in"),
        "{said}"
    );
    Ok(())
}

fn no_namespaces() -> Result<()> {
    let said = without("echo 0 > /proc/sys/user/max_user_namespaces")?;
    ensure!(
        said.starts_with("user namespaces are used up or switched off"),
        "{said}"
    );
    Ok(())
}
