//! Rule: names say what a thing is. Words that fit everything say nothing.

use crate::rust_code::code_only;
use crate::{Finding, Repository, TextFile};

const VAGUE_TYPES: [&str; 7] = [
    "Manager", "Handler", "Service", "Context", "Info", "Data", "Helper",
];
const VAGUE_MODULES: [&str; 6] = ["utils", "util", "common", "helpers", "misc", "types"];

/// Types whose name ends in a word that fits everything, and modules that are a drawer.
pub fn vague_names(repository: &Repository) -> Vec<Finding> {
    repository.rust().flat_map(check).collect()
}

fn check(file: &TextFile) -> Vec<Finding> {
    let mut found = Vec::new();
    let parts = file.path.trim_end_matches(".rs").split('/');
    for part in parts.filter(|part| VAGUE_MODULES.contains(part)) {
        let fact = format!("`{part}` fits everything; name the concept");
        found.push(Finding::at(&file.path, 1, fact));
    }
    for (index, line) in code_only(&file.text).lines().enumerate() {
        let Some(name) = declared_type(line) else {
            continue;
        };
        if VAGUE_TYPES.iter().any(|word| name.ends_with(word)) {
            let fact = format!("`{name}` ends in a word that fits everything");
            found.push(Finding::at(&file.path, index + 1, fact));
        }
    }
    found
}

/// The type that a line declares.
fn declared_type(line: &str) -> Option<&str> {
    // An indented `type` fills in a trait's associated type, whose name is the trait's.
    if line.trim_start().starts_with("type ") && line.starts_with(' ') {
        return None;
    }
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub"));
    let keyword = words.next()?;
    if !["struct", "enum", "trait", "type", "union"].contains(&keyword) {
        return None;
    }
    let name = words.next()?;
    name.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vague_types_and_modules_are_found() {
        let verdict = |path: &str, text: &str| check(&TextFile::new(path, text)).len();
        for word in VAGUE_TYPES {
            assert_eq!(
                verdict("a.rs", &format!("pub(crate) struct Pool{word}<T> {{")),
                1
            );
            assert_eq!(verdict("a.rs", &format!("use x::Pool{word};")), 0);
        }
        assert_eq!(verdict("a/src/utils.rs", ""), 1);
        assert_eq!(verdict("a/src/common/b.rs", ""), 1);
        assert_eq!(verdict("a.rs", "type Pool = Data;\ntype PoolData = u8;"), 1);
        assert_eq!(verdict("a.rs", "impl Body {\n    type Data = Bytes;\n}"), 0);
        assert_eq!(verdict("a/src/route.rs", "pub struct Route;"), 0);
    }
}
