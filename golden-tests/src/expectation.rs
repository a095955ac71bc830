//! Committed files whose content a test derives: compared, or rewritten when `BLESS=1` is set.
//!
//! Nobody edits such a file by hand; a reviewer reads its diff as product text.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diff::line_diff;
use crate::finding::Finding;
use crate::repository::{Repository, relative};

/// Whether this run rewrites expectations.
pub fn blessing() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

/// A committed file and what it should hold; `None`: the file should not exist.
#[derive(Debug)]
pub struct Expectation {
    path: PathBuf,
    content: Option<String>,
}

impl Expectation {
    /// The file at a path should hold this.
    pub fn new(path: impl Into<PathBuf>, content: Option<String>) -> Self {
        Self {
            path: path.into(),
            content,
        }
    }

    /// Compares, or rewrites when blessing; the finding shows a diff.
    pub fn check(&self, bless: bool) -> Option<Finding> {
        let committed = fs::read_to_string(&self.path).ok();
        if committed == self.content {
            return None;
        }
        if bless {
            self.rewrite();
            return None;
        }
        let place = relative(&Repository::root(), &self.path);
        let fact = match (&committed, &self.content) {
            (None, Some(content)) => format!("missing; it should hold\n{}", line_diff("", content)),
            (Some(_), None) => "orphan: nothing produces this file".to_owned(),
            (Some(old), Some(new)) => {
                format!("differs (- committed, + now)\n{}", line_diff(old, new))
            }
            (None, None) => return None,
        };
        Some(Finding::new(
            place,
            format!("{fact}\n  (BLESS=1 rewrites it)"),
        ))
    }

    fn rewrite(&self) {
        let done = match &self.content {
            Some(content) => {
                let parent = self.path.parent().unwrap_or(Path::new("."));
                fs::create_dir_all(parent).and_then(|()| fs::write(&self.path, content))
            }
            None => fs::remove_file(&self.path),
        };
        done.unwrap_or_else(|error| panic!("cannot bless {}: {error}", self.path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_stale_and_orphan_files_are_findings() {
        let here = Repository::root().join("golden-tests/Cargo.toml");
        let there = Repository::root().join("golden-tests/no-such-file");
        let fact = |path: &PathBuf, content: Option<&str>| {
            Expectation::new(path, content.map(str::to_owned))
                .check(false)
                .map(|finding| finding.fact)
        };
        assert!(fact(&there, Some("x")).is_some_and(|fact| fact.starts_with("missing")));
        assert!(fact(&here, Some("x")).is_some_and(|fact| fact.starts_with("differs")));
        assert!(fact(&here, None).is_some_and(|fact| fact.starts_with("orphan")));
        assert_eq!(fact(&there, None), None);
    }
}
