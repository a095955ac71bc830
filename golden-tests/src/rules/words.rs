//! Rule: no text of the repository names a machine's private paths or leaves a loose end.

use crate::{Finding, Repository, TextFile};

/// Put together here so that this file does not break its own rule.
const PRIVATE_PATHS: [&str; 3] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
];
const LOOSE_ENDS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Banned words in any text file.
pub fn banned_words(repository: &Repository) -> Vec<Finding> {
    let files = repository.files().iter();
    files
        .filter(|file| file.path != "Cargo.lock")
        .flat_map(check)
        .collect()
}

fn check(file: &TextFile) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for path in PRIVATE_PATHS.iter().filter(|path| is_path(line, path)) {
            let fact = format!("`{path}` is a path of somebody's machine");
            found.push(Finding::at(&file.path, index + 1, fact));
        }
        for word in LOOSE_ENDS.iter().filter(|word| is_loose_end(line, word)) {
            let fact = format!("`{word}` without the number of an issue, as in `{word}(#12)`");
            found.push(Finding::at(&file.path, index + 1, fact));
        }
    }
    found
}

/// Whether a path stands by itself, not as the middle of a longer one.
fn is_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        !before.ends_with(|c: char| c.is_alphanumeric() || "._-}>".contains(c))
    })
}

fn is_loose_end(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at + word.len()..).unwrap_or_default();
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let alone = !before.ends_with(in_word) && !after.starts_with(in_word);
        let number = after
            .strip_prefix("(#")
            .and_then(|rest| rest.split_once(')'));
        let numbered = number.is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        alone && !numbered
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_paths_and_loose_ends_are_found() {
        let verdict = |text: String| check(&TextFile::new("a.md", text)).len();
        for path in PRIVATE_PATHS {
            assert_eq!(verdict(format!("see `{path}x`")), 1, "{path}");
            assert_eq!(
                verdict(format!("see https://example.com{path}x")),
                0,
                "{path}"
            );
        }
        for word in LOOSE_ENDS {
            assert_eq!(verdict(format!("// {word}: later")), 1, "{word}");
            assert_eq!(verdict(format!("// {word}(#12): later")), 0, "{word}");
            assert_eq!(verdict(format!("let A{word} = 1;")), 0, "{word}");
        }
    }
}
