use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    uring_server::server::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("uring-server: io_uring is a part of Linux, and of no other");
    ExitCode::from(3)
}
