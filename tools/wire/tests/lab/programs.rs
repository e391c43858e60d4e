//! What programs on a host meet.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use wire::{What, Whom};

use crate::{Stage, lines, trial};

pub fn tests() -> Vec<Trial> {
    vec![
        trial("input_comes_in_lines_at_their_times_and_then_ends", input),
        trial("a_signal_ends_a_program", signal),
        trial("port_80_is_refused_to_everybody", privileged),
        trial("a_name_of_the_scene_is_found", names),
        trial("a_setting_of_the_kernel_is_set", settings),
        trial("files_of_a_scene_stay_in_the_scene", files),
        trial(
            "a_command_of_several_lines_is_one_in_the_ladder",
            several_lines,
        ),
        trial("each_thread_waits_for_somebody", waits),
        trial("the_states_of_sockets_are_those_of_the_kernel", states),
    ]
}

const ONE: &str = "[[host]]\nname = \"a\"\n";

fn input() -> Result<()> {
    let scene = "[[program]]\nhost = \"a\"\nrun = [PEER, \"copy\"]\n\
                 input = [{ at = \"100ms\", text = \"one\\n\" }, { at = \"200ms\", text = \"two\\n\" }]\n";
    let recording = Stage::new(&format!("{ONE}{scene}")).run()?;
    ensure!(
        lines(&recording, 0) == ["one", "two", "end"],
        "{recording:?}"
    );
    let second = recording
        .events
        .iter()
        .find(|event| matches!(&event.what, What::Line { text, .. } if text == "two"));
    ensure!(
        second.is_some_and(|event| event.at_us >= 200_000),
        "{recording:?}"
    );
    Ok(())
}

fn signal() -> Result<()> {
    let scene = "[[program]]\nhost = \"a\"\nrun = [PEER, \"wait\", \"mark\"]\n\
                 signal = [{ at = \"50ms\", name = \"TERM\" }]\n";
    let recording = Stage::new(&format!("{ONE}{scene}")).run()?;
    let ended = recording.events.iter().find_map(|event| match &event.what {
        What::Exit { status, .. } => Some(status.as_str()),
        _ => None,
    });
    ensure!(
        ended.is_some_and(|status| status.contains("SIGTERM")),
        "{ended:?}"
    );
    Ok(())
}

fn privileged() -> Result<()> {
    let scene = "[[program]]\nhost = \"a\"\nrun = [PEER, \"bind\", \"10.0.0.1:80\"]\n";
    let recording = Stage::new(&format!("{ONE}{scene}")).run()?;
    ensure!(
        lines(&recording, 0) == ["PermissionDenied"],
        "{recording:?}"
    );
    Ok(())
}

fn names() -> Result<()> {
    let scene = "names = { \"here.example\" = [\"10.0.0.1\"] }\n\
                 [[program]]\nhost = \"a\"\nrun = [PEER, \"bind\", \"here.example:7000\"]\n";
    let recording = Stage::new(&format!("{ONE}{scene}")).run()?;
    ensure!(lines(&recording, 0) == ["bound"], "{recording:?}");
    Ok(())
}

fn settings() -> Result<()> {
    let scene = "sysctl = { \"ipv4/ip_unprivileged_port_start\" = \"80\" }\n\
                 [[program]]\nhost = \"a\"\nrun = [PEER, \"bind\", \"10.0.0.1:80\"]\n";
    let recording = Stage::new(&format!("{ONE}{scene}")).run()?;
    ensure!(lines(&recording, 0) == ["bound"], "{recording:?}");
    Ok(())
}

fn waits() -> Result<()> {
    let scene = "[[host]]\nname = \"b\"\n\
                 [[program]]\nhost = \"b\"\nrun = [PEER, \"thread\", \"10.0.0.2:9000\"]\nserves = true\nwaits = true\ncalls = true\n\
                 [[program]]\nhost = \"a\"\nrun = [PEER, \"hold\", \"10.0.0.2:9000\"]\nat = \"50ms\"\n\
                 input = [{ at = \"200ms\", text = \"\" }]\n";
    let recording = Stage::new(&format!("{ONE}{scene}")).run()?;
    let mut waits: Vec<(usize, &str, Whom, bool)> = Vec::new();
    let mut names: Vec<(usize, Option<&str>)> = Vec::new();
    for event in &recording.events {
        match &event.what {
            // A busy machine may have made a wait of any call.
            What::Wait {
                thread,
                name,
                whom,
                end_us,
                ..
            } if end_us.is_none_or(|end| end - event.at_us > 30_000) => {
                waits.push((*thread, name, *whom, end_us.is_some()));
            }
            What::Thread { thread, name, .. } => names.push((*thread, name.as_deref())),
            _ => {}
        }
    }
    waits.sort_by_key(|(thread, ..)| *thread);
    let peer = Whom::Peer("10.0.0.1:40000".parse()?);
    ensure!(
        waits
            == [
                (0, "accept4", Whom::Anyone, true),
                (0, "futex", Whom::Thread, true),
                (1, "recvfrom", peer, true),
            ],
        "{waits:?}"
    );
    ensure!(names == [(0, None), (1, Some("reader"))], "{names:?}");
    // And its calls beside them, which have no futex.
    let calls: Vec<&str> = recording
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Call { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    ensure!(
        calls.contains(&"accept4") && !calls.contains(&"futex"),
        "{calls:?}"
    );
    let ladder = wire::ladder(&recording).to_string();
    for line in [
        "  a thread waits: accept4, futex",
        "  a thread waits: recvfrom 10.0.0.1:40000",
    ] {
        // On a busy machine another call may have been a wait too, and stands behind these.
        let more = format!("{line}, ");
        let mut said = ladder.lines();
        ensure!(
            said.any(|said| said == line || said.starts_with(&more)),
            "{ladder}"
        );
    }
    Ok(())
}

fn states() -> Result<()> {
    let scene = r#"
[[host]]
name = "a"
states = true
[[host]]
name = "b"
states = true
[[program]]
host = "b"
run = [PEER, "thread", "10.0.0.2:7000"]
serves = true
[[program]]
host = "a"
run = [PEER, "say", "10.0.0.2:7000"]
# Each state lasts until the next of these, or as long as a packet is on its way.
input = [{ at = "200ms", text = "x" }, { at = "500ms", text = "" }]
"#;
    let recording = Stage::new(scene).run()?;
    let ladder = wire::ladder(&recording).to_string();
    for states in [
        "10.0.0.1:40000 > 10.0.0.2:7000: SYN-SENT, ESTABLISHED, CLOSE-WAIT, LAST-ACK, CLOSED\n",
        "10.0.0.2:7000 > 10.0.0.1:40000: SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT\n",
    ] {
        ensure!(ladder.contains(states), "no {states} in\n{ladder}");
    }
    Ok(())
}

fn files() -> Result<()> {
    let path = "/dev/shm/of-a-scene";
    let scene = format!(
        "{ONE}[[host]]\nname = \"b\"\n\
         [[program]]\nhost = \"a\"\nrun = [\"touch\", \"{path}\"]\n\
         [[program]]\nhost = \"b\"\nat = \"100ms\"\nrun = [\"ls\", \"/dev/shm\"]\n"
    );
    let recording = Stage::new(&scene).run()?;
    ensure!(lines(&recording, 1) == ["of-a-scene"], "{recording:?}");
    ensure!(!std::path::Path::new(path).exists(), "{path} is left");
    Ok(())
}

fn several_lines() -> Result<()> {
    let scene =
        "[[program]]\nhost = \"a\"\nrun = [\"sh\", \"-c\", \"\"\"\necho one\necho two\n\"\"\"]\n";
    let ladder = wire::ladder(&Stage::new(&format!("{ONE}{scene}")).run()?);
    let written = ladder.to_string();
    ensure!(
        written.contains("\non a: sh -c echo one echo two\n  out: one\n"),
        "{written}"
    );
    ensure!(ladder.difference(&written).is_none(), "{written}");
    Ok(())
}
