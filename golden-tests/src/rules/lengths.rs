//! Rule: a function fits on a screen, a file is one concept.

use crate::rust_code::{code_only, functions, production_lines};
use crate::{Finding, Repository, TextFile};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

/// Functions over 70 lines, tests included, and files over 600 lines, tests excluded.
pub fn too_long(repository: &Repository) -> Vec<Finding> {
    let for_tests = repository.test_files();
    let check = |file: &TextFile| check(file, for_tests.contains(file.path.as_str()));
    repository.rust().flat_map(check).collect()
}

fn check(file: &TextFile, is_for_tests: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for function in functions(&code_only(&file.text)) {
        let lines = function.lines();
        if lines > FUNCTION_LINES_MAX {
            let fact = format!(
                "function `{}` has {lines} lines; {FUNCTION_LINES_MAX} fit on a screen",
                function.name
            );
            found.push(Finding::at(&file.path, function.first_line, fact));
        }
    }
    let lines = production_lines(&file.text);
    if lines > FILE_LINES_MAX && !is_for_tests {
        let fact = format!("{lines} lines outside tests; the ceiling is {FILE_LINES_MAX}");
        found.push(Finding::at(&file.path, 1, fact));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: String) -> Vec<String> {
        let file = TextFile::new("a/src/b.rs", text);
        let found = too_long(&Repository::of(vec![file]));
        found.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn function_of_71_lines_is_found_and_of_70_is_not() {
        let function =
            |lines: usize| format!("\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        assert_eq!(verdict(function(71)), ["a/src/b.rs:2"]);
        assert!(verdict(function(70)).is_empty());
    }

    #[test]
    fn file_of_601_lines_is_found_unless_the_rest_is_for_tests() {
        assert_eq!(verdict("// x\n".repeat(601)), ["a/src/b.rs:1"]);
        let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n}}\n", "// x\n".repeat(600));
        assert!(verdict(with_tests).is_empty());
    }
}
