//! Rule: a code exists only if four things do: a line in the registry, a page, a golden case, and
//! a use in code.
//!
//! The examples on the pages are compiled elsewhere (`pages`); this rule looks at texts only.

use std::collections::BTreeSet;

use mcpc_compiler::CodeEntry;

use crate::markers::markers;
use crate::pages::{Page, Sample};
use crate::rust_code::production_code;
use crate::{Finding, Repository};

const REGISTRY: &str = "compiler/src/codes.rs";

/// Codes that lack a part, parts that lack their code, and pages that are not of the agreed form.
pub fn incomplete_codes(registry: &[CodeEntry], repository: &Repository) -> Vec<Finding> {
    let cased = cased_codes(repository);
    let used = UsedNames::of(repository);
    let names = repository.file(REGISTRY).map_or("", |file| &file.text);
    let mut found = unsorted(registry);
    for entry in registry {
        let code = entry.code.to_string();
        found.extend(misshapen(entry, &code));
        if is_compile_time(&code) && !is_impossible(entry.page) && !cased.contains(&code) {
            let fact = "no golden case carries it: mark a line with `#~ CODE`";
            found.push(Finding::new(&code, fact));
        }
        if !used.contains(&code, names) {
            found.push(Finding::new(&code, "no code outside the registry uses it"));
        }
    }
    found.extend(stray_pages(registry, repository));
    found
}

/// Codes of the passes appear while compiling; the others belong to the tool, loading and traffic.
fn is_compile_time(code: &str) -> bool {
    matches!(code.as_bytes().get(4), Some(b'1'..=b'7'))
}

/// A code for a mistake of ours, which no text is known to bring about, says so in its example.
fn is_impossible(page: &str) -> bool {
    Page::new(page).bad() == Some(Sample::Text("none is known\n"))
}

fn unsorted(registry: &[CodeEntry]) -> Vec<Finding> {
    let pairs = registry.iter().zip(registry.iter().skip(1));
    pairs
        .filter(|(first, second)| first.code >= second.code)
        .map(|(_, second)| {
            Finding::new(
                REGISTRY,
                format!("{} is out of order, or twice", second.code),
            )
        })
        .collect()
}

fn misshapen(entry: &CodeEntry, code: &str) -> Vec<Finding> {
    let place = format!("docs/errors/{code}.md");
    let page = Page::new(entry.page);
    let mut facts = Vec::new();
    let heading = format!("# {code}: {}", entry.title);
    if page.heading() != heading {
        facts.push(format!("the first line is not `{heading}`"));
    }
    if page.meaning().is_empty() {
        facts.push("nothing between the heading and `## Example`".to_owned());
    }
    for (section, sample, word) in [
        ("## Example", page.bad(), "bad"),
        ("## Fix", page.good(), "good"),
    ] {
        if !page.has_section(section) {
            facts.push(format!("no section `{section}`"));
        }
        match sample {
            None => facts.push(format!("no block marked `yaml {word}` or `text {word}`")),
            Some(Sample::Yaml(_)) if !is_compile_time(code) => {
                facts.push(format!("cannot be shown in YAML: use `text {word}`"));
            }
            Some(Sample::Yaml(_) | Sample::Text(_)) => {}
        }
    }
    facts
        .into_iter()
        .map(|fact| Finding::new(&place, fact))
        .collect()
}

/// Codes that a line of a golden case is marked with.
fn cased_codes(repository: &Repository) -> BTreeSet<String> {
    let cases = repository
        .with_suffix("/mcpc.yaml")
        .filter(|file| file.path.starts_with("golden-tests/compile/"));
    cases
        .flat_map(|file| markers(&file.text))
        .map(|marker| marker.code)
        .collect()
}

fn stray_pages(registry: &[CodeEntry], repository: &Repository) -> Vec<Finding> {
    let known: BTreeSet<String> = registry
        .iter()
        .map(|entry| format!("docs/errors/{}.md", entry.code))
        .collect();
    repository
        .files()
        .iter()
        .filter(|file| file.path.starts_with("docs/errors/"))
        .filter(|file| file.path != "docs/errors/README.md" && !known.contains(&file.path))
        .map(|file| Finding::new(&file.path, "no code has this page"))
        .collect()
}

/// What production code outside the registry names a code by: its constant, or its whole text.
struct UsedNames(BTreeSet<String>);

impl UsedNames {
    fn of(repository: &Repository) -> Self {
        let sources = repository
            .rust()
            .filter(|file| file.path != REGISTRY && file.path.contains("/src/"))
            .filter(|file| !file.path.starts_with("golden-tests/"));
        let mut names = BTreeSet::new();
        for file in sources {
            let code = production_code(&file.text);
            names.extend(words(&code).map(str::to_owned));
            let lines = file.text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.starts_with("//"));
            names.extend(lines.flat_map(words).map(str::to_owned));
        }
        Self(names)
    }

    /// The registry declares a code as `NAME 1001 "title"`.
    fn contains(&self, code: &str, registry: &str) -> bool {
        let digits = code.trim_start_matches("MCPC");
        let mut lines = registry.lines().map(str::trim);
        let name = lines.find_map(|line| line.split_once(&format!(" {digits} \""))?.0.into());
        self.0.contains(code) || name.is_some_and(|name: &str| self.0.contains(name))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;
    use mcpc_compiler::Code;

    const PAGE: &str = "# MCPC3001: unknown key\n\nText.\n\n## Example\n\n```yaml bad\na: 1\n```\n\n## Fix\n\nDo.\n\n```yaml good\nb: 1\n```\n";

    fn verdict(page: &'static str, case: &str, code: &str) -> Vec<String> {
        let entry = CodeEntry {
            code: Code(3001),
            name: "",
            title: "unknown key",
            page,
        };
        let repository = Repository::of(vec![
            TextFile::new("docs/errors/MCPC3001.md", page),
            TextFile::new("golden-tests/compile/a/b/mcpc.yaml", case),
            TextFile::new(
                REGISTRY,
                "codes! {\n    UNKNOWN_KEY 3001 \"unknown key\"\n}\n",
            ),
            TextFile::new("compiler/src/shape.rs", code),
        ]);
        let found = incomplete_codes(&[entry], &repository);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn complete_code_passes() {
        let none: [&str; 0] = [];
        assert_eq!(
            verdict(PAGE, "a: 1 #~ MCPC3001\n", "f(codes::UNKNOWN_KEY)"),
            none
        );
        assert_eq!(verdict(PAGE, "a: 1 #~ MCPC3001\n", "f(\"MCPC3001\")"), none);
    }

    #[test]
    fn each_missing_part_is_found() {
        assert_eq!(verdict(PAGE, "a: 1\n", "f(codes::UNKNOWN_KEY)").len(), 1);
        assert_eq!(verdict(PAGE, "a: 1 #~ MCPC3001\n", "// MCPC3001").len(), 1);
        let other_title = "# MCPC3001: unknown\n\nText.\n";
        assert_eq!(
            verdict(other_title, "#~ 1 MCPC3001\n", "use UNKNOWN_KEY;").len(),
            5
        );
    }

    #[test]
    fn page_without_code_and_code_out_of_order_are_found() {
        let page = TextFile::new("docs/errors/MCPC3001.md", PAGE);
        assert_eq!(incomplete_codes(&[], &Repository::of(vec![page])).len(), 1);
        let entry = |number| CodeEntry {
            code: Code(number),
            name: "",
            title: "",
            page: "",
        };
        assert_eq!(unsorted(&[entry(3002), entry(3001)]).len(), 1);
        assert_eq!(unsorted(&[entry(3001), entry(3001)]).len(), 1);
    }
}
