use std::process::ExitCode;

/// What this program ends with where it can't do its work at all.
#[cfg(not(target_os = "linux"))]
const ELSEWHERE: u8 = 3;

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("load: needs Linux, for its io_uring");
    ExitCode::from(ELSEWHERE)
}

// ANCHOR: main
#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let args = std::env::args().skip(1);
    match load::options::Options::parse(args).and_then(|o| run(&o)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn run(options: &load::options::Options) -> anyhow::Result<String> {
    use load::options::Workload;

    if let Some(core) = options.core {
        load::linux::pin(core)?;
    }
    load::linux::raise_descriptor_limit(options.connections)?;
    let report = match options.workload {
        Workload::PingPong | Workload::Open => load::exchange::run(options)?,
        Workload::Connects => load::connects::run(options)?,
    };
    Ok(report.json(options))
}
// ANCHOR_END: main
