//! Rule: calls and attributes that hide a failure or a test.
//!
//! The lints of the workspace forbid most of this too; the rule holds also where a lint is opted
//! out of, and covers what no lint does.

use crate::rust_code::{code_only, production_code};
use crate::{Finding, Repository, TextFile};

/// Put together from pieces so that the table does not look like a use.
const EVERYWHERE: [(&str, &str); 3] = [
    ("#[ignore", "a test that does not run is no test"),
    ("#[allow(", "write `#[expect(.., reason = \"..\")]`"),
    ("#![allow(", "write `#![expect(.., reason = \"..\")]`"),
];
const IN_PRODUCTION: [(&str, &str); 1] = [(
    ".unwrap()",
    "handle the case, or state the invariant with `expect`",
)];
const IN_TESTS: [(&str, &str); 1] = [("thread::sleep(", "wait for the event itself")];

/// Banned calls and attributes in Rust files.
pub fn banned_calls(repository: &Repository) -> Vec<Finding> {
    let for_tests = repository.test_files();
    let check = |file: &TextFile| check(file, for_tests.contains(file.path.as_str()));
    repository.rust().flat_map(check).collect()
}

fn check(file: &TextFile, is_for_tests: bool) -> Vec<Finding> {
    let mut found = search(file, &code_only(&file.text), &EVERYWHERE);
    if is_for_tests {
        found.extend(search(file, &code_only(&file.text), &IN_TESTS));
    } else {
        found.extend(search(file, &production_code(&file.text), &IN_PRODUCTION));
    }
    found
}

fn search(file: &TextFile, code: &str, banned: &[(&str, &str)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        for (call, instead) in banned.iter().filter(|(call, _)| line.contains(call)) {
            let fact = format!("`{call}`: {instead}");
            found.push(Finding::at(&file.path, index + 1, fact));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_calls_are_found_in_code_and_nowhere_else() {
        let verdict = |path: &str, text: &str| {
            let file = TextFile::new(path, text);
            banned_calls(&Repository::of(vec![file])).len()
        };
        for (call, _) in EVERYWHERE {
            assert_eq!(verdict("a/src/b.rs", &format!("{call}x)]\nfn f() {{}}")), 1);
        }
        assert_eq!(verdict("a/src/b.rs", "fn f() { g().unwrap(); }"), 1);
        assert_eq!(verdict("a/tests/b.rs", "fn f() { g().unwrap(); }"), 0);
        assert_eq!(
            verdict("a/tests/b.rs", "fn f() { std::thread::sleep(x); }"),
            1
        );
        assert_eq!(
            verdict("a/src/b.rs", "// g().unwrap()\nlet a = \".unwrap()\";"),
            0
        );
        let test = "#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }";
        assert_eq!(verdict("a/src/b.rs", test), 0);
    }
}
