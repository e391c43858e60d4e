use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Scenes run in processes of this same program.
    if let Some(code) = wire::worker() {
        return code;
    }
    let cli = book::Cli::parse();
    let done = std::env::current_dir()
        .map_err(anyhow::Error::from)
        .and_then(|here| book::run(cli, &here));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Unlike `eprintln!`, ends as it should when nobody reads it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
