//! What has passed before, so that a page is looked at again only after a change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::site::Site;

/// The checks that passed, each named by a hash of all that could have changed its outcome.
pub struct Passed {
    record: PathBuf,
    before: BTreeSet<String>,
    now: BTreeSet<String>,
    tools: Vec<u8>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Passed {
    /// Reads the record. `tools` are the files that do the checking, beside the test itself.
    /// With `CI` set nothing counts as passed.
    pub fn read(record: PathBuf, tools: &[&Path]) -> Result<Self> {
        let mut hash = Sha256::new();
        let test = std::env::current_exe()?;
        for tool in tools.iter().chain([&test.as_path()]) {
            let metadata = tool.metadata()?;
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH)?;
            hash.update(format!(
                "{} {} {modified:?}",
                tool.display(),
                metadata.len()
            ));
        }
        let before = std::fs::read_to_string(&record).unwrap_or_default();
        let before = before
            .lines()
            .filter(|_| !crate::is_ci())
            .map(str::to_owned);
        Ok(Self {
            before: before.collect(),
            now: BTreeSet::new(),
            tools: hash.finalize().to_vec(),
            files: BTreeMap::new(),
            record,
        })
    }

    /// The name of a check of these files of the site.
    pub fn key(&mut self, site: &Site, files: &BTreeSet<String>) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(&self.tools);
        for file in files {
            let content = match self.files.get(file) {
                Some(content) => content.clone(),
                None => match std::fs::read(site.path().join(file)) {
                    Ok(content) => Sha256::digest(content).to_vec(),
                    // A page that names it will be looked at, and will say so.
                    Err(_) => Vec::new(),
                },
            };
            hash.update(file);
            hash.update(&content);
            self.files.insert(file.clone(), content);
        }
        Ok(hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// Has the check passed before? Then it stays in the record.
    pub fn has(&mut self, key: &str) -> bool {
        let has = self.before.contains(key);
        if has {
            self.now.insert(key.to_owned());
        }
        has
    }

    pub fn add(&mut self, key: String) {
        self.now.insert(key);
    }

    /// Writes the checks that passed this time, and forgets the others.
    pub fn write(&self) -> Result<()> {
        let lines: Vec<_> = self.now.iter().map(String::as_str).collect();
        std::fs::write(&self.record, lines.join("\n"))
            .with_context(|| format!("write {}", self.record.display()))
    }
}
