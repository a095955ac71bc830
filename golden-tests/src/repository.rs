//! The text files of the repository, read once and named by their path from the root.
//!
//! Owns the walk and what it leaves out (build output, caches, version control). Rules take a
//! [`Repository`] or single files, so that a test can feed them a file that was never written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A text file and its path from the root, with `/` between the parts.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// The path from the root of the repository.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// Every text file of the repository, sorted by path.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    files: Vec<TextFile>,
}

impl TextFile {
    /// A file that a test made up.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }
}

impl Repository {
    /// The root of this repository.
    pub fn root() -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.parent().unwrap_or(here).to_path_buf()
    }

    /// This repository, read once.
    pub fn this() -> &'static Self {
        static READ: OnceLock<Repository> = OnceLock::new();
        READ.get_or_init(Self::read)
    }

    /// Reads every text file. What is not UTF-8 is no text, or a case on purpose: then it is shown
    /// as far as it can be.
    fn read() -> Self {
        let root = Self::root();
        let mut files = Vec::new();
        for path in walk(&root) {
            let bytes = fs::read(&path)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            let path = relative(&root, &path);
            match String::from_utf8(bytes) {
                Ok(text) => files.push(TextFile::new(path, text)),
                Err(error) if path.ends_with("/mcpc.yaml") => {
                    let text = String::from_utf8_lossy(error.as_bytes());
                    files.push(TextFile::new(path, text));
                }
                Err(_) => {}
            }
        }
        Self { files }
    }

    /// A repository that a test made up.
    pub fn of(files: Vec<TextFile>) -> Self {
        Self { files }
    }

    /// All files.
    pub fn files(&self) -> &[TextFile] {
        &self.files
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &TextFile> {
        self.with_suffix(".rs")
    }

    /// The Rust files that are compiled for tests only: those below `tests/`, and modules that are
    /// declared under `#[cfg(test)]`.
    pub fn test_files(&self) -> BTreeSet<&str> {
        let declared: BTreeSet<String> = self
            .rust()
            .flat_map(|file| test_modules(&file.text).map(|name| module_paths(&file.path, name)))
            .flatten()
            .collect();
        let is_test = |path: &str| path.contains("/tests/") || declared.contains(path);
        self.rust()
            .map(|file| file.path.as_str())
            .filter(|path| is_test(path))
            .collect()
    }

    /// The files whose path ends in this way.
    pub fn with_suffix(&self, suffix: &'static str) -> impl Iterator<Item = &TextFile> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(suffix))
    }

    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// The names in `#[cfg(test)] mod name;` and `#[cfg(all(test, ..))] mod name;`.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(").skip(1).filter_map(|item| {
        let (condition, item) = item.split_once(")]")?;
        let is_for_tests = condition == "test"
            || condition.starts_with("all(test,")
            || condition == "any(test, fuzzing)";
        let (declaration, _) = item.trim_start().split_once(';').filter(|_| is_for_tests)?;
        let name = declaration
            .strip_prefix("pub(crate) ")
            .or(declaration.strip_prefix("pub "))
            .unwrap_or(declaration);
        let name = name.strip_prefix("mod ")?;
        (!name.contains(char::is_whitespace)).then_some(name)
    })
}

/// Where a module that this file declares may be.
fn module_paths(declared_in: &str, name: &str) -> [String; 2] {
    let (directory, file) = declared_in.rsplit_once('/').unwrap_or(("", declared_in));
    let directory = match file {
        "mod.rs" | "lib.rs" | "main.rs" => directory.to_owned(),
        _ => format!("{directory}/{}", file.trim_end_matches(".rs")),
    };
    [
        format!("{directory}/{name}.rs"),
        format!("{directory}/{name}/mod.rs"),
    ]
}

/// Every file below a directory, sorted, without build output, caches and version control.
pub(crate) fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        let entries = fs::read_dir(&next)
            .unwrap_or_else(|error| panic!("cannot list {}: {error}", next.display()));
        for entry in entries {
            let path = entry.expect("a directory entry can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !is_left_out(&name) {
                    open.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_left_out(directory: &str) -> bool {
    ["target", ".git", ".cache", "node_modules", "__pycache__"].contains(&directory)
}

/// A path below the root, with `/` on every machine.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_declared_for_tests_are_test_files() {
        let repository = Repository::of(vec![
            TextFile::new(
                "a/src/lib.rs",
                "mod b;\n#[cfg(all(test, unix))]\nmod fake;\n#[cfg(any(test, fuzzing))]\npub mod any;\n#[cfg(test)]\nmod tests {}\n",
            ),
            TextFile::new("a/src/b.rs", "#[cfg(test)]\npub(crate) mod proof;\n"),
            TextFile::new("a/src/fake.rs", ""),
            TextFile::new("a/src/any.rs", ""),
            TextFile::new("a/src/b/proof.rs", ""),
            TextFile::new("a/tests/c.rs", ""),
        ]);
        let found: Vec<&str> = repository.test_files().into_iter().collect();
        let expected = [
            "a/src/any.rs",
            "a/src/b/proof.rs",
            "a/src/fake.rs",
            "a/tests/c.rs",
        ];
        assert_eq!(found, expected);
    }
}
