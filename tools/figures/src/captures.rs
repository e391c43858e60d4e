//! The captures that readers download. mdBook copies what lies in the folder of its pages, so they are put there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wire::{Recording, SceneFile};

/// The folder below that of the pages. It is generated, and not committed.
const FOLDER: &str = "captures";

/// Where a host's capture lies on the site.
pub fn name(file: &SceneFile, host: &str) -> String {
    format!("{FOLDER}/{}.{host}.pcapng", file.name.replace('/', "-"))
}

/// Where the results of a measurement lie: `load-bench.json` for `load/results/bench.json`.
pub fn results(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let listing = path.ancestors().nth(2).and_then(Path::file_name);
    let listing = listing.unwrap_or_default().to_string_lossy();
    format!("{FOLDER}/{listing}-{name}")
}

/// The captures of a recording: the name on the site, and the file.
pub fn of(file: &SceneFile, recording: &Recording) -> BTreeMap<String, PathBuf> {
    let hosts = recording.head.hosts.iter().enumerate();
    hosts
        .filter(|(index, _)| recording.is_on_wire(*index))
        .map(|(_, host)| (name(file, &host.name), file.capture_file(&host.name)))
        .collect()
}

/// Writes those that have changed, so that who watches the folder is not woken for nothing, and removes the others.
pub fn write(source: &Path, captures: &BTreeMap<String, PathBuf>) -> Result<()> {
    let folder = source.join(FOLDER);
    if captures.is_empty() && !folder.exists() {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let mut old = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        old.insert(format!("{FOLDER}/{}", entry?.file_name().to_string_lossy()));
    }
    for (name, from) in captures {
        let path = source.join(name);
        let bytes = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        if fs::read(&path).ok().as_ref() != Some(&bytes) {
            // Another build may run at the same time.
            let new = path.with_extension(format!("new-{}", std::process::id()));
            fs::write(&new, bytes)
                .and_then(|()| fs::rename(&new, &path))
                .with_context(|| format!("write {}", path.display()))?;
        }
        old.remove(name);
    }
    let is_ours = |name: &&String| name.ends_with(".pcapng") || name.ends_with(".json");
    for name in old.iter().filter(is_ours) {
        // It may have been removed by another build.
        let _ = fs::remove_file(source.join(name));
    }
    Ok(())
}
