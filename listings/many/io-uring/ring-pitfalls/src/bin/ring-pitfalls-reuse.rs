use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match ring_pitfalls::reuse::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ring-pitfalls-reuse: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("ring-pitfalls-reuse: io_uring is a part of Linux only");
    ExitCode::from(3)
}
