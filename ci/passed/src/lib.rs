//! What has passed before, so that a check that takes long is done again only after a change.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Is this the run that everything depends on? Then nothing counts as passed.
pub fn is_ci() -> bool {
    env::var_os("CI").is_some()
}

/// A digest of all that could change the outcome of a check.
#[derive(Clone, Default)]
pub struct Inputs(DefaultHasher);

impl Inputs {
    /// Begins with what does the checking: this very program. `default` leaves it out.
    pub fn new() -> Result<Self> {
        let mut inputs = Self(DefaultHasher::new());
        inputs.program(&env::current_exe().context("find this program")?)?;
        Ok(inputs)
    }

    pub fn add(&mut self, value: impl Hash) -> &mut Self {
        value.hash(&mut self.0);
        self
    }

    /// A file, by all that is in it.
    pub fn file(&mut self, path: &Path) -> Result<&mut Self> {
        let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Ok(self.add((path, content)))
    }

    /// A folder, by all that is in it, but for what Cargo has built there.
    pub fn folder(&mut self, path: &Path) -> Result<&mut Self> {
        let entries = fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        let mut entries = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            if !entry.is_dir() {
                self.file(&entry)?;
            } else if entry.file_name() != Some("target".as_ref()) {
                self.folder(&entry)?;
            }
        }
        Ok(self)
    }

    /// A program, which is large and never written twice in the same instant: by its size and time.
    pub fn program(&mut self, path: &Path) -> Result<&mut Self> {
        let metadata = fs::metadata(path).with_context(|| format!("find {}", path.display()))?;
        let modified = metadata.modified().context("read the time of a file")?;
        Ok(self.add((path, metadata.len(), modified)))
    }

    fn digest(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// The checks that passed, in a folder: for each a file that holds the digest of its inputs.
pub struct Passed {
    folder: PathBuf,
}

impl Passed {
    /// A folder for the checks of one kind, which is made below `within`, a folder of Cargo's.
    pub fn within(within: impl AsRef<Path>, kind: &str) -> Result<Self> {
        let folder = within.as_ref().join(kind);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Has this check passed with the same inputs?
    pub fn has(&self, check: &str, inputs: &Inputs) -> bool {
        let before = fs::read_to_string(self.record(check));
        !is_ci() && before.is_ok_and(|before| before == inputs.digest())
    }

    /// It has passed now. Where that can't be written it is checked again the next time, no more.
    pub fn add(&self, check: &str, inputs: &Inputs) {
        let _ = fs::write(self.record(check), inputs.digest());
    }

    fn record(&self, check: &str) -> PathBuf {
        self.folder.join(check.replace(['/', '\\'], "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passed_with_the_same_inputs_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let inputs = |content: &str| {
            fs::write(&file, content).unwrap();
            let mut inputs = Inputs::new().unwrap();
            inputs.file(&file).unwrap().add("word");
            inputs
        };
        let passed = Passed::within(folder.path(), "kind").unwrap();
        assert!(!passed.has("a/check", &inputs("one")));
        passed.add("a/check", &inputs("one"));
        assert_eq!(passed.has("a/check", &inputs("one")), !is_ci());
        assert!(!passed.has("a/check", &inputs("two")));
        assert!(!passed.has("another", &inputs("one")));
        assert!(!passed.has("a/check", inputs("one").add("more")));
    }

    #[test]
    fn a_folder_counts_by_the_names_and_the_content_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
            let mut inputs = Inputs::default();
            inputs.folder(folder.path()).unwrap().digest()
        };
        let first = write("inner/file", "one");
        assert_eq!(write("target/debug/file", "built"), first);
        assert_ne!(write("inner/file", "two"), first);
        assert_eq!(write("inner/file", "one"), first);
        assert_ne!(write("inner/another", ""), first);
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let mut inputs = Inputs::new().unwrap();
        let nowhere = Path::new("no/such/file");
        let said = |result: Result<&mut Inputs>| format!("{:#}", result.err().unwrap());
        assert!(said(inputs.file(nowhere)).contains("no/such/file"));
        assert!(said(inputs.program(nowhere)).contains("no/such/file"));
        assert!(said(inputs.folder(nowhere)).contains("no/such/file"));
    }
}
