//! Rule: the architecture page is short, states what is absent, and names only what exists.
//!
//! A page that names a test or a file which is gone misleads every newcomer; so names are looked up.

use crate::{Finding, Repository};

const PAGE: &str = "ARCHITECTURE.md";
const LINES_MAX: usize = 200;
const ABSENCES_MIN: usize = 12;

/// Names on the page that nothing bears, and a page that is too long or promises too little.
pub fn stale_architecture(repository: &Repository) -> Vec<Finding> {
    let Some(page) = repository.file(PAGE) else {
        return vec![Finding::new(PAGE, "is missing")];
    };
    let mut found = Vec::new();
    let lines = page.text.lines().count();
    if lines > LINES_MAX {
        found.push(Finding::new(
            PAGE,
            format!("{lines} lines; {LINES_MAX} are read"),
        ));
    }
    let absences = page.text.lines().filter(|line| is_numbered(line)).count();
    if absences < ABSENCES_MIN {
        found.push(Finding::new(PAGE, format!("states {absences} absences")));
    }
    for (index, line) in page.text.lines().enumerate() {
        for name in line.split('`').skip(1).step_by(2) {
            if !exists(name, repository) {
                found.push(Finding::at(
                    PAGE,
                    index + 1,
                    format!("`{name}` is not there"),
                ));
            }
        }
    }
    found
}

fn is_numbered(line: &str) -> bool {
    line.split_once(". **")
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// Whether a name stands for something: only paths and names of tests are looked up.
fn exists(name: &str, repository: &Repository) -> bool {
    let is_word = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_word && name.matches('_').count() >= 3 && !name.starts_with("iter_") {
        let declared = format!("fn {name}(");
        return repository.rust().any(|file| file.text.contains(&declared));
    }
    let last = name.rsplit('/').next().unwrap_or_default();
    let is_path = name.contains('/') && (last.is_empty() || last.contains('.'));
    if is_path && !name.contains(char::is_whitespace) {
        let below = name.trim_end_matches('/');
        return repository.files().iter().any(|file| {
            let rest = file.path.strip_prefix(below);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                || file.path.contains(&format!("/{below}/"))
        });
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;

    #[test]
    fn stale_names_and_too_few_absences_are_found() {
        let places = |absences: usize, name: &str| {
            let text = "1. **No `x`.** Held.\n".repeat(absences) + &format!("see `{name}`\n");
            let files = vec![
                TextFile::new(PAGE, text),
                TextFile::new("a/src/b.rs", "fn no_such_thing_here() {}"),
            ];
            stale_architecture(&Repository::of(files)).len()
        };
        assert_eq!(places(12, "a/src/b.rs"), 0);
        assert_eq!(places(12, "a/src/"), 0);
        assert_eq!(places(12, "a/src/c.rs"), 1);
        assert_eq!(places(12, "no_such_thing_here"), 0);
        assert_eq!(places(12, "no_such_test_here"), 1);
        assert_eq!(places(11, "cargo test"), 1);
        assert_eq!(places(201, "x"), 1);
        assert_eq!(stale_architecture(&Repository::default()).len(), 1);
    }
}
