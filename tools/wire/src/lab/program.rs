//! A program on a host: what it is given, and what it says.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host::Host;
use super::trace::{self, Calls};
use super::waits::Waits;
use crate::recording::{Stream, What};
use crate::scene::Program;

/// Something that a program did, at a time from the start.
pub(super) struct News {
    pub(super) at: Duration,
    pub(super) what: What,
}

pub(super) struct Running {
    pid: Pid,
    stdin: Option<ChildStdin>,
    /// They end when the program has, and with it all that it said.
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    #[allow(clippy::too_many_arguments)] // one place calls it
    pub(super) fn start(
        index: usize,
        program: &Program,
        command: &[String],
        host: &Host,
        folder: &Path,
        path: &OsStr,
        start: Instant,
        wall: SystemTime,
        news: &Sender<News>,
    ) -> Result<Running> {
        let mut threads = Vec::new();
        let mut starting = Command::new(&command[0]);
        starting.args(&command[1..]);
        if program.calls || program.waits {
            let (traced, output) = trace::trace(&starting, program.waits)?;
            starting = traced;
            let news = news.clone();
            let mut calls = program.calls.then(|| Calls::new(index));
            let mut waits = program.waits.then(|| Waits::new(index));
            threads.push(thread::spawn(move || {
                trace::read(output, wall, |traced| {
                    let call = calls.as_mut().and_then(|calls| calls.see(&traced));
                    if let Some((at, what)) = call {
                        let _ = news.send(News { at, what });
                    }
                    if let Some(waits) = &mut waits {
                        waits.see(&traced);
                    }
                });
                for (at, what) in waits.into_iter().flat_map(Waits::finish) {
                    let _ = news.send(News { at, what });
                }
            }));
        }
        starting
            .current_dir(folder)
            .stdin(if program.input.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Nothing of this machine but where its programs are.
            .env_clear()
            .env("PATH", path)
            .env("LANG", "C.UTF-8")
            .env("PYTHONUNBUFFERED", "1");
        // It is born on the host, because the thread that starts it is there.
        let mut child = host.run(move || starting.spawn())??;
        let pid = Pid::from_raw(child.id() as i32);
        let stdin = child.stdin.take();
        let outputs: [(Stream, Box<dyn Read + Send>); 2] = [
            (
                Stream::Out,
                Box::new(child.stdout.take().context("stdout is piped")?),
            ),
            (
                Stream::Err,
                Box::new(child.stderr.take().context("stderr is piped")?),
            ),
        ];
        let mut readers = Vec::new();
        for (stream, output) in outputs {
            let news = news.clone();
            readers.push(thread::spawn(move || {
                let mut lines = BufReader::new(output).split(b'\n');
                while let Some(Ok(line)) = lines.next() {
                    let at = start.elapsed();
                    let text = String::from_utf8_lossy(&line)
                        .trim_end_matches('\r')
                        .to_string();
                    let _ = news.send(News {
                        at,
                        what: What::Line {
                            program: index,
                            stream,
                            text,
                        },
                    });
                }
            }));
        }
        let news = news.clone();
        threads.push(thread::spawn(move || {
            let status = child.wait();
            let mut at = start.elapsed();
            // What it said last comes before its end, however late it is read.
            if readers.into_iter().all(ends_soon) {
                at = start.elapsed();
            }
            let status = match status {
                Ok(status) => said_of(status),
                Err(error) => error.to_string(),
            };
            let _ = news.send(News {
                at,
                what: What::Exit {
                    program: index,
                    status,
                },
            });
        }));
        Ok(Running {
            pid,
            stdin,
            threads,
        })
    }

    /// A program that has closed its input, or ended, is told no more.
    pub(super) fn input(&mut self, text: &str, last: bool) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(text.as_bytes());
        }
        if last {
            self.stdin = None;
        }
    }

    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let signal = Signal::from_str(&format!("SIG{name}"))
            .with_context(|| format!("there is no signal {name}"))?;
        // It may have ended already.
        let _ = kill(self.pid, signal);
        Ok(())
    }

    /// Ends the program, and waits until everything that it said has been read.
    pub(super) fn end(&mut self) {
        self.stdin = None;
        let _ = kill(self.pid, Signal::SIGKILL);
        for thread in self.threads.drain(..) {
            ends_soon(thread);
        }
    }
}

/// Waits for a thread that reads what a program says, and not for ever: a child of the program may hold its output
/// open. That child ends with the namespace.
fn ends_soon(thread: JoinHandle<()>) -> bool {
    let until = Instant::now() + Duration::from_millis(500);
    while !thread.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
    thread.is_finished()
}

/// Such as `exit status: 0` or `signal: 9 (SIGKILL)`.
fn said_of(status: ExitStatus) -> String {
    status.to_string()
}
