//! `cargo book bench`: measures the echo servers of the book and their peers under the same load.

use std::path::PathBuf;

use clap::Args;

/// What is measured, and for how long.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// One short round, to see whether everything works
    #[arg(long)]
    quick: bool,
    /// A server, such as tokio-server or epoll_server.c; may be given several times
    #[arg(long, value_name = "SERVER")]
    only: Vec<String>,
    /// A workload, such as pingpong-100; may be given several times
    #[arg(long, value_name = "WORKLOAD")]
    workload: Vec<String>,
    /// How often each server is measured; 5 without it
    #[arg(long)]
    rounds: Option<usize>,
    /// How many seconds each run is counted; 3 without it
    #[arg(long)]
    seconds: Option<f64>,
    /// Where to write the results; without it beside the generator, and nowhere if not all was measured
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With programs that are not optimised, to try the bench itself
    #[arg(long, hide = true)]
    debug: bool,
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn bench(_: &std::path::Path, _: &Options) -> anyhow::Result<()> {
    anyhow::bail!("cargo book bench needs Linux: the generator sends with io_uring")
}

#[cfg(target_os = "linux")]
pub(crate) use linux::bench;

#[cfg(target_os = "linux")]
mod linux;
