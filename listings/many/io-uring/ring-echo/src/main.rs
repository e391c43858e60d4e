use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let addr = std::env::args().nth(1);
    let addr = addr.unwrap_or_else(|| "127.0.0.1:7190".to_string());
    match ring_echo::run(&addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ring-echo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("ring-echo: io_uring is a part of Linux, and of no other");
    ExitCode::from(3)
}
