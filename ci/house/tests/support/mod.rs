use std::fs;
use std::path::Path;

/// Gives a new repository what cargo has asked the compiler for ours: it is the same for all, and asking takes long.
pub fn tell_about_the_compiler(root: &Path) {
    const ASKED: &str = ".rustc_info.json";
    let target = root.join("target");
    fs::create_dir(&target).unwrap();
    let ours = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(ASKED);
    let _ = fs::copy(ours, target.join(ASKED)); // without it cargo asks again
}
