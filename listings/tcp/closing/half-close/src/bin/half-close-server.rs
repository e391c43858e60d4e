use std::env;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long the client may send nothing, or take nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest question, in bytes.
const LIMIT: u64 = 100_000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7051".to_string());
    let thinking = args.next().unwrap_or_else(|| "0".to_string());
    match run(&addr, &thinking) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("half-close-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: &str, thinking: &str) -> Result<()> {
    let thinking = thinking
        .parse()
        .map(Duration::from_millis)
        .with_context(|| format!("{thinking} as milliseconds"))?;
    let listener =
        TcpListener::bind(addr).with_context(|| format!("bind {addr}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, peer)) => match answer(stream, thinking) {
                Ok(()) => log(format_args!("{peer}: answered")),
                Err(error) => log(format_args!("{peer}: {error:#}")),
            },
            Err(error) => {
                log(format_args!("accept: {error}"));
                // An error that lasts must not turn this loop into a busy one.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

// ANCHOR: answer
/// Reads the question to its end, thinks, and answers.
fn answer(mut stream: TcpStream, thinking: Duration) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = Vec::new();
    (&stream)
        .take(LIMIT + 1)
        .read_to_end(&mut question)
        .context("wait for the end of the question")?;
    ensure!(question.len() as u64 <= LIMIT, "the question is too long");
    thread::sleep(thinking);
    let answer = format!("{} bytes\n", question.len());
    stream.write_all(answer.as_bytes()).context("answer")
} // here `stream` is dropped, and the connection closed
// ANCHOR_END: answer

/// Writes a line to the log. `eprintln!` would end the server with a panic when
/// the log can't be written.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
