//! Runs the programs under test, with a deadline on everything they are asked for.

#![allow(dead_code)] // each test file uses a part

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything here takes, so that only a hang meets it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A running program. It is ended when it goes out of scope.
pub struct Program {
    name: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let name = format!("{command:?}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        let stdout = lines_of(child.stdout.take().expect("stdout is piped"));
        let stderr = lines_of(child.stderr.take().expect("stderr is piped"));
        Program {
            name,
            child,
            stdout,
            stderr,
        }
    }

    /// The next line that the program prints on stdout.
    pub fn line(&mut self) -> String {
        self.next(false).unwrap_or_else(|| {
            let said: Vec<String> = self.stderr.iter().collect();
            panic!("{} ended without a line; stderr: {said:?}", self.name)
        })
    }

    /// The next line that the program prints on stderr.
    pub fn log(&mut self) -> String {
        self.next(true)
            .unwrap_or_else(|| panic!("{} ended without a log line", self.name))
    }

    /// The address in the line `listening on ADDR`.
    pub fn address(&mut self) -> SocketAddr {
        let line = self.line();
        line.strip_prefix("listening on ")
            .and_then(|addr| addr.parse().ok())
            .unwrap_or_else(|| panic!("{}: no address in {line:?}", self.name))
    }

    /// The id of the process, for those who send it a signal.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; returns the status and what had not been read of stdout and stderr.
    pub fn finish(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        let mut rest = [Vec::new(), Vec::new()];
        for (rest, from_stderr) in rest.iter_mut().zip([false, true]) {
            while let Some(line) = self.next(from_stderr) {
                rest.push(line);
            }
        }
        let [stdout, stderr] = rest;
        // Both outputs have ended, so the program has too, or is about to.
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return (status, stdout, stderr);
            }
            assert!(Instant::now() < until, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn next(&mut self, from_stderr: bool) -> Option<String> {
        let lines = if from_stderr {
            &self.stderr
        } else {
            &self.stdout
        };
        match lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} was silent for {DEADLINE:?}", self.name)
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Makes a call that may wait. One with a timeout can end as `Interrupted`: programs of ours that end wake us.
pub fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// A Python program of this package, such as `python/client.py`, or `None`, with a word of why, where
/// there is no Python.
pub fn python(script: &str) -> Option<Command> {
    let found = Command::new("python3").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "python3 is missing, and CI needs it"
        );
        eprintln!(
            "skipped: {script} needs python3, which is not on this machine"
        );
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(format!("{}/{script}", env!("CARGO_MANIFEST_DIR")));
    Some(command)
}
