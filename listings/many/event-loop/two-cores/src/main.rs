use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How long one piece of work takes.
const WORK: Duration = Duration::from_millis(5);

/// How often each way is tried. The best time counts: in the others, somebody
/// else had the core for a while.
const TRIES: usize = 30;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("two-cores: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let cores = cores()?;
    ensure!(cores.len() > 1, "this process has one core, and needs two");

    let steps = calibrate();
    let compute = || {
        count(steps);
        Ok(())
    };
    let addr = slow_server()?;
    let wait = || {
        let mut reply = [0; 1];
        Ok(TcpStream::connect(addr)?.read_exact(&mut reply)?)
    };

    use_only(&cores[..1])?;
    println!("              computing  waiting");
    println!("one by one   {}", row(one_by_one, &compute, &wait)?);
    println!("at once      {}", row(at_once, &compute, &wait)?);
    use_only(&cores[..2])?;
    println!("on two cores {}", row(at_once, &compute, &wait)?);
    Ok(())
}
// ANCHOR_END: run

// ANCHOR: ways
type Work<'a> = &'a (dyn Fn() -> Result<()> + Sync);

fn one_by_one(work: Work) -> Result<()> {
    work()?;
    work()
}

fn at_once(work: Work) -> Result<()> {
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work()?;
        other.join().expect("the work does not panic")
    })
}
// ANCHOR_END: ways

/// How long both kinds of work take in this way, in milliseconds.
fn row(
    way: fn(Work) -> Result<()>,
    compute: Work,
    wait: Work,
) -> Result<String> {
    let mut best = [Duration::MAX; 2];
    for _ in 0..TRIES {
        for (best, work) in best.iter_mut().zip([compute, wait]) {
            let start = Instant::now();
            way(work)?;
            *best = start.elapsed().min(*best);
        }
    }
    let [compute, wait] = best.map(|time| time.as_secs_f64() * 1000.0);
    Ok(format!("{compute:6.1} ms  {wait:4.1} ms"))
}

/// How many steps `count` makes in the time of one piece of work.
fn calibrate() -> u64 {
    let mut best = Duration::MAX;
    for _ in 0..500 {
        let start = Instant::now();
        count(20_000);
        best = start.elapsed().min(best);
    }
    20_000 * (WORK.as_nanos() / best.as_nanos().max(1)) as u64
}

/// Work for the processor alone.
fn count(steps: u64) {
    let mut x: u64 = 1;
    for _ in 0..steps {
        x = black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
    }
}

/// Answers everybody, each after the time of one piece of work.
fn slow_server() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                thread::sleep(WORK);
                let _ = (&stream).write_all(b"!");
            });
        }
    });
    Ok(addr)
}

/// The cores that this process may use.
#[cfg(target_os = "linux")]
fn cores() -> Result<Vec<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&core| set.is_set(core))
        .collect())
}

/// Keeps this thread, and those that it starts, to some cores.
#[cfg(target_os = "linux")]
fn use_only(cores: &[usize]) -> Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(not(target_os = "linux"))]
fn cores() -> Result<Vec<usize>> {
    anyhow::bail!("this program needs Linux, to choose its cores")
}

#[cfg(not(target_os = "linux"))]
fn use_only(_: &[usize]) -> Result<()> {
    cores().map(drop)
}
