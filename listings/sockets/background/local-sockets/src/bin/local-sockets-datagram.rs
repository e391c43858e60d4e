#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::env;
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::DirBuilderExt;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-sockets-datagram: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
#[cfg(unix)]
fn run() -> Result<()> {
    let folder = Folder::new()?;
    let (post, home) = (folder.0.join("post.sock"), folder.0.join("ann.sock"));
    let receiver = UnixDatagram::bind(&post).context("bind post.sock")?;
    receiver.set_read_timeout(Some(PATIENCE))?;

    let nameless = UnixDatagram::unbound()?;
    nameless
        .send_to(b"guess who", &post)
        .context("send to post.sock")?;
    let named = UnixDatagram::bind(&home).context("bind ann.sock")?;
    named
        .send_to(b"it is Ann", &post)
        .context("send to post.sock")?;

    let mut buffer = [0; 1024];
    for _ in 0..2 {
        let (n, sender) = receiver.recv_from(&mut buffer).context("receive")?;
        let text = String::from_utf8_lossy(&buffer[..n]);
        println!("received {text:?} from {sender:?}");
    }
    Ok(())
}
// ANCHOR_END: run

#[cfg(not(unix))]
fn run() -> Result<()> {
    anyhow::bail!("std has Unix sockets on Unix systems only")
}

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
