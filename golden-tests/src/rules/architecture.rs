//! Rule: the architecture page is short, states what is absent, and names only what exists; and so do the
//! headers of files.
//!
//! A page that names a test, a file or a function which is gone misleads every newcomer; so names are
//! looked up.

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

/// Functions that the header of a file names by their type, and that this type has not.
pub fn stale_headers(repository: &Repository) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in repository.rust() {
        let header = file.text.lines().enumerate();
        for (index, line) in header.take_while(|(_, line)| line.starts_with("//!")) {
            let is_apart = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':';
            for name in line.split(is_apart) {
                let name = name.trim_matches(':');
                if !has_function(name, repository) {
                    let fact = format!("`{name}` is not there");
                    found.push(Finding::at(&file.path, index + 1, fact));
                }
            }
        }
    }
    found
}

/// Whether a type of ours that is named with a function has it. Other names are taken to be right.
fn has_function(name: &str, repository: &Repository) -> bool {
    let Some((owner, function)) = name.split_once("::") else {
        return true;
    };
    let is_type = owner.starts_with(|c: char| c.is_ascii_uppercase());
    if !is_type || !function.starts_with(|c: char| c.is_ascii_lowercase()) {
        return true;
    }
    let kinds = ["struct", "enum", "trait"].map(|kind| format!("{kind} {owner}"));
    let is_ours = |text: &str| kinds.iter().any(|kind| text.contains(kind.as_str()));
    let declared = format!("fn {function}");
    let is_there = |text: &str| {
        let is_about = |line: &str| {
            let opens = line.starts_with("impl") || line.contains("trait ");
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            opens && words.any(|word| word == owner)
        };
        text.contains(&declared) && text.lines().any(is_about)
    };
    !repository.rust().any(|file| is_ours(&file.text))
        || repository.rust().any(|file| is_there(&file.text))
}

fn is_numbered(line: &str) -> bool {
    line.split_once(". **")
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// Whether a name stands for something: only paths, names of tests and functions of types are looked up.
fn exists(name: &str, repository: &Repository) -> bool {
    if !has_function(name, repository) {
        return false;
    }
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

    #[test]
    fn a_header_that_names_a_function_which_is_gone_is_found() {
        let places = |header: &str| {
            let text =
                format!("//! {header}\n\npub struct Plan;\nimpl Plan {{\n    fn seal() {{}}\n}}\n");
            let found = stale_headers(&Repository::of(vec![TextFile::new("a.rs", text)]));
            found
                .into_iter()
                .map(|finding| finding.place)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            places("Made by [`Plan::seal`], or `Plan::Sealed`."),
            [""; 0]
        );
        assert_eq!(places("Made by `Arc::clone`, `crate::seal`."), [""; 0]);
        assert_eq!(places("Made by Plan::unseal"), ["a.rs:1"]);
    }
}
