//! Rule: every promise about trouble has a row that names what checks it, and what it names exists.
//!
//! Reads the tables of `docs/guide/promises.md`. A row that says that there is nothing yet is honest and
//! passes; a row that is missing, or that names a test, a transcript or a figure that is not there, does
//! not. That the checks pass is their own business.

use crate::{Finding, Repository};

const PAGE: &str = "docs/guide/promises.md";
const BENCH: &str = "bench/src/main.rs";
const GATES: &str = "bench/src/gates.rs";
const INTEROP: &str = "golden-tests/interop/runner/framing.py";
const COVERAGE: &str = "golden-tests/src/coverage.rs";
const TARGETS: [&str; 2] = ["dataplane/src/fuzzing.rs", "golden-tests/src/fuzzing.rs"];

/// What a row says that nothing checks.
const ABSENT: &str = "nothing yet";

/// The promises and the figures, by letter and number.
const ROWS: [(&str, usize); 2] = [("R", 31), ("G", 10)];

/// Rows that are missing, and checks that are.
pub fn unchecked_promises(repository: &Repository) -> Vec<Finding> {
    let Some(page) = repository.file(PAGE) else {
        return vec![Finding::new(PAGE, "is not there")];
    };
    let all = ROWS.iter();
    let all = all.flat_map(|(letter, most)| (1..=*most).map(move |at| format!("{letter}{at}")));
    let mut missing: Vec<String> = all.collect();
    let mut found = Vec::new();
    for (index, line) in page.text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, row, _, checks, _] = cells.as_slice() else {
            continue;
        };
        let Some(at) = missing.iter().position(|it| it == row) else {
            continue;
        };
        missing.remove(at);
        let named: Vec<&str> = checks.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && *checks != ABSENT {
            let fact = format!("{row} names no check; `{ABSENT}` would be honest");
            found.push(Finding::at(PAGE, index + 1, fact));
        }
        let absent = named.iter().filter(|check| !exists(repository, check));
        found
            .extend(absent.map(|check| {
                Finding::at(PAGE, index + 1, format!("{row}: there is no `{check}`"))
            }));
    }
    let rows = missing.iter();
    found.extend(rows.map(|row| Finding::new(PAGE, format!("has no row for {row}"))));
    found
}

/// Whether there is such a test, transcript, figure, row of the interop run, part that is measured or target of
/// the fuzzer.
fn exists(repository: &Repository, check: &str) -> bool {
    if let Some((of, name)) = check.split_once(' ') {
        let file = match of {
            "gates" => GATES,
            "bench" => BENCH,
            "interop" => return is_quoted(repository, &[INTEROP], name),
            "coverage" => return is_quoted(repository, &[COVERAGE], name),
            "fuzz" => return is_quoted(repository, &TARGETS, name),
            _ => return false,
        };
        let variant = camel(name);
        let text = repository.file(file).map_or("", |file| &file.text);
        let mut words = text.split(|it: char| !it.is_ascii_alphanumeric());
        return words.any(|word| word == variant);
    }
    if check.contains('/') {
        let path = format!("golden-tests/exchange/{check}/transcript.txt");
        return repository.file(&path).is_some();
    }
    let function = format!("fn {check}(");
    let mut files = repository.rust();
    files.any(|file| file.text.contains(&function))
}

/// Whether one of the files has the name as a text.
fn is_quoted(repository: &Repository, files: &[&str], name: &str) -> bool {
    let mut files = files.iter().filter_map(|file| repository.file(file));
    files.any(|file| file.text.contains(&format!("\"{name}\"")))
}

/// `killed-child` as its variant is called.
fn camel(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;

    #[test]
    fn missing_rows_and_checks_are_found() {
        let facts = |row: &str| {
            let files = vec![
                TextFile::new(PAGE, format!("| R1 | it holds | {row} |\n")),
                TextFile::new("a/tests/a.rs", "fn it_holds() {}"),
                TextFile::new(GATES, "enum Gate { KilledChild }"),
                TextFile::new(INTEROP, "ROW = \"framing\""),
                TextFile::new(COVERAGE, "(\"dataplane/\", 95)"),
                TextFile::new(TARGETS[1], "(\"plan\", plan)"),
                TextFile::new("golden-tests/exchange/a/it_is/transcript.txt", "client"),
            ];
            let found = unchecked_promises(&Repository::of(files)).into_iter();
            let found = found.filter(|it| !it.fact.starts_with("has no row"));
            found.map(|it| it.fact).collect::<Vec<_>>()
        };
        assert_eq!(
            facts("`it_holds`, `a/it_is`, `gates killed-child`"),
            [""; 0]
        );
        assert_eq!(facts("`interop framing`, `fuzz plan`"), [""; 0]);
        assert_eq!(facts("`coverage dataplane/`"), [""; 0]);
        assert_eq!(facts("nothing yet"), [""; 0]);
        assert_eq!(
            facts("trust"),
            ["R1 names no check; `nothing yet` would be honest"]
        );
        for absent in [
            "it_held",
            "a/it_was",
            "gates killed",
            "bench same-ids",
            "interop frame",
            "fuzz framing",
            "coverage bench/",
            "it holds",
        ] {
            let expected = format!("R1: there is no `{absent}`");
            assert_eq!(facts(&format!("`{absent}`")), [expected]);
        }
        let found = unchecked_promises(&Repository::of(vec![TextFile::new(PAGE, "")]));
        assert_eq!(found.len(), 41);
    }
}
