use std::env;
use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

const THREADS: u64 = 1000;

fn main() -> ExitCode {
    let kib = env::args().nth(1).unwrap_or_else(|| "2048".to_string());
    match run(&kib) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thread-cost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run(kib: &str) -> Result<()> {
    let stack: usize = kib
        .parse()
        .with_context(|| format!("{kib} as a number of KiB"))?;
    ensure!(cfg!(target_os = "linux"), "it reads /proc, which Linux has");
    let (ready, all_ready) = mpsc::channel();
    let (before, start) = (Memory::now()?, Instant::now());

    let mut waiting = Vec::new();
    for number in 0..THREADS {
        let (go, wait) = mpsc::channel::<()>();
        let ready = ready.clone();
        thread::Builder::new()
            .stack_size(stack * 1024)
            .spawn(move || {
                // As a server would: a buffer that was used, and then a wait.
                let mut buffer = [0u8; 16 * 1024];
                black_box(&mut buffer).fill(1);
                let _ = ready.send(());
                let _ = wait.recv();
            })
            .with_context(|| format!("start thread {number}"))?;
        waiting.push(go);
    }
    for _ in 0..THREADS {
        all_ready.recv()?;
    }

    let (after, took) = (Memory::now()?, start.elapsed());
    let each = |before: u64, after: u64| after.saturating_sub(before) / THREADS;
    println!("a thread of {THREADS}, with a stack of {stack} KiB:");
    println!("{} us to start", took.as_micros() as u64 / THREADS);
    println!("{} KiB of memory", each(before.resident, after.resident));
    println!(
        "{} KiB of the kernel's memory",
        each(before.kernel, after.kernel)
    );
    Ok(())
}
// ANCHOR_END: run

/// In KiB.
struct Memory {
    /// Of this process: the pages that it has touched.
    resident: u64,
    /// Of all threads of this host: their stacks inside the kernel.
    kernel: u64,
}

impl Memory {
    fn now() -> Result<Memory> {
        Ok(Memory {
            resident: field("/proc/self/status", "VmRSS:")?,
            kernel: field("/proc/meminfo", "KernelStack:")?,
        })
    }
}

fn field(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| file.to_string())?;
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{file} has no {name}"))
}
