use std::env;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the server may think.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer, in bytes.
const LIMIT: u64 = 1000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7051".to_string());
    let how = args.next().unwrap_or_else(|| "drop".to_string());
    match run(&addr, &how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("half-close-clone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(addr: &str, how: &str) -> Result<()> {
    let mut writer = TcpStream::connect(addr)
        .with_context(|| format!("connect to {addr}"))?;
    let reader = writer.try_clone()?;
    let reading = thread::spawn(move || read_answer(reader));

    writer.write_all(b"How long is this?").context("ask")?;
    match how {
        "drop" => {} // the clone is still alive
        "shutdown" => writer.shutdown(Shutdown::Write)?,
        _ => bail!("{how} is neither drop nor shutdown"),
    }
    drop(writer);
    println!("the writer is gone");

    match reading.join() {
        Ok(answer) => println!("{:?}", answer.context("read the answer")?),
        Err(_) => bail!("the reader has panicked"),
    }
    Ok(())
}
// ANCHOR_END: run

fn read_answer(stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.take(LIMIT).read_to_string(&mut answer)?;
    Ok(answer)
}
