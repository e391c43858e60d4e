//! Every command that a page prints can be typed.

use std::fs;
use std::path::PathBuf;

use cargo_metadata::{Package, Target};
use clap::Parser;
use pages::{Page, Problem};

use crate::House;

/// Programs that a reader has, or is told to install before.
const PROGRAMS: [&str; 18] = [
    "cargo", "cd", "cp", "curl", "echo", "git", "ip", "kill", "nc", "npm", "ping", "printf",
    "python3", "ss", "strace", "sysctl", "ulimit", "unshare",
];

/// Every line of a `console` block, and every `cargo …` in running text, names what exists.
pub fn commands_exist(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    for page in house.book.pages.iter().chain(&house.documents) {
        for (line, command) in commands_of(page) {
            match command {
                Ok(command) => {
                    if let Err(message) = check(house, &command) {
                        problems.push(Problem::new(
                            &page.path,
                            line,
                            format!("`{command}`: {message}"),
                        ));
                    }
                }
                Err(message) => problems.push(Problem::new(&page.path, line, message)),
            }
        }
    }
    problems
}

fn commands_of(page: &Page) -> Vec<(usize, Result<String, String>)> {
    let mut found = Vec::new();
    for block in &page.blocks {
        if !block.has_tag("console") {
            continue;
        }
        for (index, line) in block.text.lines().enumerate() {
            let at = block.line + 1 + index;
            match line.strip_prefix("$ ") {
                Some(command) => found.push((at, Ok(command.to_string()))),
                None => found.push((
                    at,
                    Err(format!(
                        "{line:?} is no command: a console block holds lines that begin with `$ `, and no output"
                    )),
                )),
            }
        }
    }
    for (line, code) in &page.codes {
        if code.starts_with("cargo ") {
            found.push((*line, Ok(code.clone())));
        }
    }
    found
}

fn check(house: &House, command: &str) -> Result<(), String> {
    let words = shlex::split(command).ok_or("a quote is not closed")?;
    // `NAME=value` before a command sets the environment for it.
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .skip_while(|word| word.split_once('=').is_some_and(|(name, _)| is_upper(name)))
        .collect();
    let (program, args) = words.split_first().ok_or("an empty command")?;
    let program = program.strip_prefix("sudo ").unwrap_or(program);
    if !PROGRAMS.contains(&program) {
        return Err(format!(
            "a reader may not have {program}; if they can be expected to, add it to PROGRAMS in \
             ci/house/src/commands.rs"
        ));
    }
    for arg in args {
        let ours = ["listings/", "src/", "ci/", "tools/", "theme/"]
            .iter()
            .any(|folder| arg.starts_with(folder));
        if ours && !house.root.join(arg).exists() {
            return Err(format!("there is no {arg}"));
        }
    }
    match program {
        "cargo" => check_cargo(house, args),
        _ => Ok(()),
    }
}

/// `CHAPTER` in a text stands for any chapter.
fn is_placeholder(word: &str) -> bool {
    word.len() > 1 && is_upper(word)
}

fn is_upper(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

fn check_cargo(house: &House, args: &[&str]) -> Result<(), String> {
    let (subcommand, args) = args.split_first().ok_or("cargo alone does nothing")?;
    match *subcommand {
        "run" | "build" => check_run(house, args),
        "test" => check_test(house, args),
        "book" => check_book(args),
        "fmt" => only(args, &["--check", "--all"]),
        "clippy" => only(
            args,
            &["--workspace", "--all-targets", "--", "-D", "warnings"],
        ),
        "--version" | "fetch" => only(args, &[]),
        other => Err(format!(
            "no page has used `cargo {other}` so far; teach the house rule about it"
        )),
    }
}

fn only(args: &[&str], known: &[&str]) -> Result<(), String> {
    match args.iter().find(|arg| !known.contains(arg)) {
        Some(unknown) => Err(format!("unknown argument {unknown}")),
        None => Ok(()),
    }
}

fn check_book(args: &[&str]) -> Result<(), String> {
    // The bare name, in running text.
    if args.is_empty() {
        return Ok(());
    }
    let words = ["cargo book"].iter().chain(args);
    match book::Cli::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(error) if !error.use_stderr() => Ok(()),
        Err(error) => Err(error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_string()),
    }
}

fn check_run(house: &House, args: &[&str]) -> Result<(), String> {
    let mut package = None;
    let mut bin = None;
    let mut words = args.iter().copied();
    let mut rest: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-p" | "--package" => package = Some(words.next().ok_or("-p needs a name")?),
            "--bin" => bin = Some(words.next().ok_or("--bin needs a name")?),
            "--release" | "-q" | "--quiet" => {}
            "--" => rest = words.by_ref().collect(),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    if package.is_some_and(is_placeholder) || bin.is_some_and(is_placeholder) {
        return Ok(());
    }
    let packages = match package {
        Some(name) => vec![find_package(house, name)?],
        None => house.metadata.workspace_packages(),
    };
    let bins: Vec<(&Package, &Target)> = packages
        .iter()
        .flat_map(|package| {
            package
                .targets
                .iter()
                .filter(|target| target.is_bin())
                .map(|target| (*package, target))
        })
        .filter(|(_, target)| bin.is_none_or(|bin| target.name == bin))
        .collect();
    let (package, _) = match (bins.as_slice(), bin) {
        ([one], _) => *one,
        ([], Some(bin)) => return Err(format!("there is no program {bin}")),
        ([], None) => return Err("there is no program in this package".to_string()),
        (many, _) => {
            let names: Vec<&str> = many
                .iter()
                .map(|(_, target)| target.name.as_str())
                .collect();
            return Err(format!(
                "which program? say --bin with one of {}",
                names.join(", ")
            ));
        }
    };
    for flag in rest
        .iter()
        .filter(|arg| arg.starts_with('-') && arg.len() > 1)
    {
        let name = flag.split('=').next().unwrap_or(flag);
        if !source_of(package, "src").contains(&format!("\"{name}\"")) {
            return Err(format!("{} does not know the flag {name}", package.name));
        }
    }
    Ok(())
}

fn check_test(house: &House, args: &[&str]) -> Result<(), String> {
    let mut package = None;
    let mut words = args.iter().copied();
    let mut filters = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-p" | "--package" => package = Some(words.next().ok_or("-p needs a name")?),
            "--test" => {
                let name = words.next().ok_or("--test needs a name")?;
                let packages = match package {
                    Some(package) if !is_placeholder(package) => {
                        vec![find_package(house, package)?]
                    }
                    _ => house.metadata.workspace_packages(),
                };
                let known = packages
                    .iter()
                    .flat_map(|package| &package.targets)
                    .any(|target| target.is_test() && target.name == name);
                if !known && !is_placeholder(name) {
                    return Err(format!("there is no test file {name}"));
                }
            }
            "--workspace" | "-q" | "--quiet" | "--" | "--nocapture" => {}
            // What is left out is named as what is run.
            "--skip" => filters.push(words.next().ok_or("--skip needs a name")?),
            other if other.starts_with('-') => return Err(format!("unknown argument {other}")),
            filter => filters.push(filter),
        }
    }
    let Some(package) = package.filter(|name| !is_placeholder(name)) else {
        return Ok(());
    };
    let package = find_package(house, package)?;
    for filter in filters.into_iter().filter(|filter| !is_placeholder(filter)) {
        if !source_of(package, "tests").contains(filter) {
            return Err(format!(
                "{} has no test whose name contains {filter}",
                package.name
            ));
        }
    }
    Ok(())
}

fn find_package<'a>(house: &'a House, name: &str) -> Result<&'a Package, String> {
    house
        .metadata
        .workspace_packages()
        .into_iter()
        .find(|package| package.name == name)
        .ok_or_else(|| format!("there is no package {name}"))
}

/// The Rust sources in one of a package's folders, as one text.
fn source_of(package: &Package, folder: &str) -> String {
    let mut text = String::new();
    let start = package.manifest_path.parent().expect("a file has a folder");
    let mut folders: Vec<PathBuf> = vec![start.join(folder).into()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text += &fs::read_to_string(path).unwrap_or_default();
            }
        }
    }
    text
}
