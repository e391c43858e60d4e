use std::env;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many bytes are under way at most, and how many of the rest are read.
const PIECE: usize = 1024;

fn main() -> ExitCode {
    let addr = env::args().nth(1);
    match run(addr.as_deref().unwrap_or("127.0.0.1:7030")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upper-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str) -> Result<()> {
    let mut stream = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;

    let mut screen = io::stdout();
    let mut lines = io::stdin().lines();
    loop {
        // The prompt ends no line, so nothing shows it unless we say so.
        write!(screen, "> ")?;
        screen.flush()?;
        let Some(line) = lines.next() else { break };
        let line = line.context("read a line")?;
        if line.trim().is_empty() {
            continue;
        }
        let reply = ask(&mut stream, line.as_bytes())
            .with_context(|| format!("ask {addr}"))?;
        writeln!(screen, "{}", String::from_utf8_lossy(&reply))?;
    }
    writeln!(screen)?;
    close(stream).with_context(|| format!("close {addr}"))
}
// ANCHOR_END: run

// ANCHOR: ask
/// Sends `question`, and reads as many bytes as it has.
fn ask(stream: &mut TcpStream, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut reply = vec![0; question.len()];
    // With all of a long line under way, each side could wait for the other
    // one to read.
    for (question, reply) in question.chunks(PIECE).zip(reply.chunks_mut(PIECE))
    {
        stream.write_all(question)?;
        stream.read_exact(reply)?;
    }
    Ok(reply)
}
// ANCHOR_END: ask

// ANCHOR: close
/// Says that there is no more, and waits until the server has said so too.
fn close(stream: TcpStream) -> Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.take(PIECE as u64).read_to_end(&mut rest)?;
    ensure!(rest.is_empty(), "{} bytes too many", rest.len());
    Ok(())
}
// ANCHOR_END: close
