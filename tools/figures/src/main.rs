//! What plain `mdbook` runs: the book comes in as JSON, and goes out with its figures.

use std::io;
use std::process::ExitCode;

use figures::Figures;
use mdbook_preprocessor::{Preprocessor, parse_input};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [question, renderer] = &arguments[..]
        && question == "supports"
    {
        return match Figures::default().supports_renderer(renderer) {
            Ok(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    let done = parse_input(io::stdin())
        .and_then(|(context, book)| Figures::default().run(&context, book))
        .and_then(|book| Ok(serde_json::to_writer(io::stdout(), &book)?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
