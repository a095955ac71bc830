//! Rule: every Rust file opens with a `//!` header that says what it owns.

use crate::{Finding, Repository};

/// Rust files without a header, or with one that says nothing.
pub fn missing_headers(repository: &Repository) -> Vec<Finding> {
    let lacks_header = |text: &str| {
        let first = text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("//! ").map(str::split_whitespace);
        words.is_none_or(|words| words.count() < 3)
    };
    repository
        .rust()
        .filter(|file| lacks_header(&file.text))
        .map(|file| Finding::at(&file.path, 1, "no `//!` header of at least three words"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;

    #[test]
    fn a_file_without_a_telling_first_line_is_found() {
        let verdict = |text: &str| {
            let file = TextFile::new("a.rs", text);
            missing_headers(&Repository::of(vec![file])).len()
        };
        assert_eq!(verdict("use x;\n"), 1);
        assert_eq!(verdict("//! placeholder\n"), 1);
        assert_eq!(verdict("\n//! Owns all of it.\n"), 1);
        assert_eq!(verdict("//! Owns all of it.\n"), 0);
    }
}
