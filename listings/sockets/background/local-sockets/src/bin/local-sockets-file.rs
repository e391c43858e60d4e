#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::env;
use std::fs;
use std::io::{Read, Write};
#[cfg(unix)]
use std::os::unix::fs::DirBuilderExt;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-sockets-file: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
#[cfg(unix)]
fn run() -> Result<()> {
    let folder = Folder::new()?;
    let path = folder.0.join("chat.sock");

    let shown = path.display();

    let listener = UnixListener::bind(&path);
    let listener = listener.with_context(|| format!("bind {shown}"))?;
    let client = UnixStream::connect(&path);
    let mut client = client.with_context(|| format!("connect to {shown}"))?;
    let (mut server, peer) = listener.accept().context("accept")?;
    println!("server: local {:?}, peer {peer:?}", server.local_addr()?);

    client.write_all(b"no port").context("send")?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut message = [0; 7];
    server.read_exact(&mut message).context("receive")?;
    println!("received {:?}", String::from_utf8_lossy(&message));

    drop(listener);
    println!("listener closed, file still there: {}", path.exists());
    println!("connect: {}", failure(UnixStream::connect(&path))?);
    println!("bind: {}", failure(UnixListener::bind(&path))?);

    fs::remove_file(&path).with_context(|| format!("remove {shown}"))?;
    UnixListener::bind(&path).context("bind after removing")?;
    println!("file removed, bind: done");
    Ok(())
}
// ANCHOR_END: run

#[cfg(not(unix))]
fn run() -> Result<()> {
    anyhow::bail!("std has Unix sockets on Unix systems only")
}

/// The error that was expected here.
fn failure<T>(result: std::io::Result<T>) -> Result<std::io::Error> {
    match result {
        Ok(_) => bail!("succeeded against expectation"),
        Err(error) => Ok(error),
    }
}

// ANCHOR: folder
/// A new folder that only this user may enter; removed with its contents when
/// it goes.
struct Folder(PathBuf);

impl Folder {
    #[cfg(unix)]
    fn new() -> Result<Folder> {
        let path =
            env::temp_dir().join(format!("local-sockets-{}", process::id()));
        // Fails if the name exists: a stranger may have made it.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("create {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("remove {}: {error}", self.0.display());
        }
    }
}
// ANCHOR_END: folder
