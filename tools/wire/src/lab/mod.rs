//! Runs a scene: hosts, programs and the link between them, all in one process that takes everything with it.

mod host;
mod link;
mod namespace;
mod program;
mod states;
mod trace;
mod waits;

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

pub(crate) use namespace::enter;

use crate::driver::Programs;
use crate::recording::{Event, Head, HostHead, LinkHead, ProgramHead, Recording, What};
use crate::scene::{Program, Scene};
use host::Host;
use link::Link;
use program::{News, Running};
use states::Watch;

/// What the scene does next, and when.
struct Due {
    at: Duration,
    step: Step,
}

enum Step {
    Start(usize),
    Input {
        program: usize,
        text: String,
        last: bool,
    },
    Signal {
        program: usize,
        name: String,
    },
    End,
}

/// Runs a scene once. The process must have entered its namespaces, and have no other thread.
pub(crate) fn run(scene: &Scene, folder: &Path, programs: &Programs) -> Result<Recording> {
    let commands: Vec<Vec<String>> = scene
        .program
        .iter()
        .map(|program| programs.resolve(&program.run, folder))
        .collect::<Result<_>>()?;
    if scene
        .program
        .iter()
        .any(|program| program.calls || program.waits)
    {
        trace::is_here()?;
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("read the kernel's release")?;

    let with_ipv6 = scene
        .host
        .iter()
        .flat_map(|host| &host.addresses)
        .any(|address| address.is_ipv6());
    let hosts: Vec<Host> = scene
        .host
        .iter()
        .map(|host| Host::new(host, scene.link.mtu, with_ipv6))
        .collect::<Result<_>>()?;
    let link = Link::start(&hosts, scene)?;
    let start = link.start;
    let wall = SystemTime::now() - start.elapsed();
    let watches: Vec<Watch> = (0..hosts.len())
        .filter(|index| scene.host[*index].states)
        .map(|index| Watch::start(index, &hosts[index], start))
        .collect::<Result<_>>()?;

    let path = programs.path();
    let (sender, news) = mpsc::channel();
    let mut events: Vec<(Duration, What)> = Vec::new();
    let mut running: Vec<Option<Running>> = scene.program.iter().map(|_| None).collect();
    let deadline = start + scene.limit;
    let spawn = |index: usize| -> Result<Running> {
        let program = &scene.program[index];
        let host = &hosts[scene
            .host
            .iter()
            .position(|host| host.name == program.host)
            .expect("checked")];
        Running::start(
            index,
            program,
            &commands[index],
            host,
            folder,
            &path,
            start,
            wall,
            &sender,
        )
        .with_context(|| format!("start {} on {}", program.run[0], program.host))
    };

    // First the servers, each ready before the next one starts.
    for (index, program) in scene
        .program
        .iter()
        .enumerate()
        .filter(|(_, program)| program.serves)
    {
        let host = scene
            .host
            .iter()
            .position(|host| host.name == program.host)
            .expect("checked");
        let listening = hosts[host].listening()?;
        events.push((start.elapsed(), What::Start { program: index }));
        running[index] = Some(spawn(index)?);
        loop {
            let said = events.iter().any(|(_, what)| {
                matches!((what, &program.ready), (What::Line { program, text, .. }, Some(ready)) if *program == index && text.contains(ready))
            });
            if said || program.ready.is_none() && hosts[host].listening()? > listening {
                break;
            }
            match news.recv_timeout(Duration::from_millis(1)) {
                Ok(News {
                    at,
                    what: What::Exit { status, .. },
                }) => {
                    let said = lines_of(index, &events, &news);
                    bail!(
                        "{} on {} ended before it was ready ({status}) at {at:?}{said}",
                        program.run[0],
                        program.host
                    )
                }
                Ok(News { at, what }) => events.push((at, what)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender"),
            }
            if Instant::now() > deadline {
                bail!(
                    "{} on {} was not ready after {:?}{}",
                    program.run[0],
                    program.host,
                    scene.limit,
                    lines_of(index, &events, &news)
                );
            }
        }
    }

    // Now the clock starts.
    let zero = start.elapsed();
    link.zero(zero);
    let deadline = Instant::now() + scene.limit;
    let mut due: Vec<Due> = Vec::new();
    for (index, program) in scene.program.iter().enumerate() {
        if program.serves {
            plan(&mut due, index, program, zero);
        } else {
            due.push(Due {
                at: zero + program.at.unwrap_or_default(),
                step: Step::Start(index),
            });
        }
    }
    if let Some(ends) = scene.ends {
        due.push(Due {
            at: zero + ends,
            step: Step::End,
        });
    }
    'scene: loop {
        // Stable, so what is due at the same time happens in the order of the file.
        due.sort_by_key(|due| due.at);
        while due.first().is_some_and(|next| next.at <= start.elapsed()) {
            match due.remove(0).step {
                Step::Start(index) => {
                    events.push((start.elapsed(), What::Start { program: index }));
                    let started = start.elapsed();
                    running[index] = Some(spawn(index)?);
                    plan(&mut due, index, &scene.program[index], started);
                    due.sort_by_key(|due| due.at);
                }
                Step::Input {
                    program,
                    text,
                    last,
                } => {
                    if let Some(running) = &mut running[program] {
                        events.push((
                            start.elapsed(),
                            What::Input {
                                program,
                                text: text.clone(),
                            },
                        ));
                        running.input(&text, last);
                    }
                }
                Step::Signal { program, name } => {
                    if let Some(running) = &running[program] {
                        running.signal(&name)?;
                        events.push((start.elapsed(), What::Signal { program, name }));
                    }
                }
                Step::End => break 'scene,
            }
        }
        let ended = |index: usize| {
            events
                .iter()
                .any(|(_, what)| matches!(what, What::Exit { program, .. } if *program == index))
        };
        let waiting: Vec<usize> = (0..scene.program.len())
            .filter(|index| !scene.program[*index].serves && !ended(*index))
            .collect();
        if waiting.is_empty() && scene.ends.is_none() {
            break;
        }
        if Instant::now() > deadline {
            let waiting: Vec<String> = waiting
                .iter()
                .map(|index| {
                    let program = &scene.program[*index];
                    format!(
                        "{} on {}{}",
                        program.run[0],
                        program.host,
                        lines_of(*index, &events, &news)
                    )
                })
                .collect();
            bail!(
                "after {:?} it still waited for the end of {}",
                scene.limit,
                waiting.join(" and ")
            );
        }
        let pause = due
            .first()
            .map_or(Duration::from_millis(20), |due| {
                due.at.saturating_sub(start.elapsed())
            })
            .min(Duration::from_millis(20));
        match news.recv_timeout(pause) {
            Ok(News { at, what }) => events.push((at, what)),
            Err(_) => continue,
        }
    }

    // The last packets are still on their way, and answers to them come.
    while !link.quiet_for(scene.settle) {
        if Instant::now() > deadline {
            bail!("after {:?} packets still crossed the link", scene.limit);
        }
        if let Ok(News { at, what }) = news.recv_timeout(Duration::from_millis(5)) {
            events.push((at, what));
        }
    }
    let packets = link.finish();
    // Before the programs are ended: that changes states too.
    for watch in watches {
        events.extend(watch.finish());
    }
    let end = start.elapsed();
    for running in running.iter_mut().flatten() {
        running.end();
    }
    drop(running);
    drop(sender);
    events.extend(
        news.try_iter()
            .map(|News { at, what }| (at, what))
            .filter(|(at, _)| *at <= end),
    );
    events.extend(packets);
    events.sort_by_key(|(at, _)| *at);

    let zero_us = zero.as_micros() as i64;
    let events = events
        .into_iter()
        .map(|(at, mut what)| {
            match &mut what {
                What::Packet {
                    arrivals,
                    bytes,
                    size,
                    ..
                } => {
                    arrivals
                        .iter_mut()
                        .for_each(|arrival| arrival.at_us -= zero_us);
                    if let Some(snap) = scene.snap.filter(|snap| *snap < bytes.len()) {
                        *size = Some(bytes.len());
                        bytes.truncate(snap);
                    }
                }
                What::Call { end_us, .. } | What::Work { end_us, .. } => *end_us -= zero_us,
                What::Thread { end_us, .. } | What::Wait { end_us, .. } => {
                    end_us.iter_mut().for_each(|end| *end -= zero_us);
                }
                _ => {}
            }
            Event {
                at_us: at.as_micros() as i64 - zero_us,
                what,
            }
        })
        .collect();
    let host_of = |name: &str| {
        scene
            .host
            .iter()
            .position(|host| host.name == name)
            .expect("checked")
    };
    Ok(Recording {
        head: Head {
            about: scene.about.clone(),
            label: scene.label.clone(),
            scene: String::new(), // known to who has read the file
            kernel: kernel.trim().to_string(),
            zero_us: (wall + zero)
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_micros() as u64,
            runs: 1,
            same: 1,
            hosts: scene
                .host
                .iter()
                .map(|host| HostHead {
                    name: host.name.clone(),
                    addresses: host.addresses.clone(),
                    many_ports: host.ports > 1,
                })
                .collect(),
            link: LinkHead {
                delay_us: scene.link.delay.as_micros() as u64,
                rate: scene.link.rate,
                mtu: scene.link.mtu,
            },
            programs: scene
                .program
                .iter()
                .map(|program| ProgramHead {
                    host: host_of(&program.host),
                    // On one line, as everything in a ladder.
                    command: one_line(&program.run),
                    serves: program.serves,
                    numbers_vary: program.numbers_vary,
                    calls: program.calls,
                    waits: program.waits,
                    aside: program.aside,
                })
                .collect(),
        },
        events,
    })
}

/// As a reader would type it, but for the lines of a script.
fn one_line(run: &[String]) -> String {
    let words = run.iter().map(|word| match word.contains('\n') {
        true => word.split_whitespace().collect::<Vec<_>>().join(" "),
        false => word.clone(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The inputs and signals of a program that has started.
fn plan(due: &mut Vec<Due>, index: usize, program: &Program, started: Duration) {
    let count = program.input.len();
    for (number, input) in (1..).zip(&program.input) {
        let step = Step::Input {
            program: index,
            text: input.text.clone(),
            last: number == count,
        };
        due.push(Due {
            at: started + input.at,
            step,
        });
    }
    for signal in &program.signal {
        let step = Step::Signal {
            program: index,
            name: signal.name.clone(),
        };
        due.push(Due {
            at: started + signal.at,
            step,
        });
    }
}

/// What a program has said so far, for a message about it.
fn lines_of(index: usize, events: &[(Duration, What)], news: &mpsc::Receiver<News>) -> String {
    // What it said last may still be on its way to us.
    let late: Vec<What> = std::iter::from_fn(|| news.recv_timeout(Duration::from_millis(20)).ok())
        .map(|news| news.what)
        .collect();
    let lines: Vec<&str> = events
        .iter()
        .map(|(_, what)| what)
        .chain(&late)
        .filter_map(|what| match what {
            What::Line { program, text, .. } if *program == index => Some(text.as_str()),
            _ => None,
        })
        .collect();
    if lines.is_empty() {
        "; it said nothing".to_string()
    } else {
        format!("; it said: {}", lines.join(" / "))
    }
}
