// Shared by the build script and the tests.

/// What a snippet is put into before it is compiled, with `{}` where it goes: skeptic runs a snippet for as
/// long as it likes, so the deadline comes with it. The snippet keeps a module of its own, so that nothing
/// here can clash with a name of its.
fn template(seconds: u64) -> String {
    format!(
        r#"mod snippet {{{{
{{}}
pub fn main_of_the_snippet() -> impl ::std::process::Termination {{{{ main() }}}}
}}}}
fn main() -> impl ::std::process::Termination {{{{
    ::std::thread::spawn(|| {{{{
        ::std::thread::sleep(::std::time::Duration::from_secs({seconds}));
        ::std::eprintln!("this snippet was still running after {seconds} s and was ended");
        ::std::process::exit(101);
    }}}});
    snippet::main_of_the_snippet()
}}}}
"#
    )
}
