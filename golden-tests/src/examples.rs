//! Configurations that readers copy: the examples on error pages and under `examples/`. All of
//! them are compiled, so that none can rot, and neither can what pages show of them.

use mcpc_compiler::CodeEntry;

use crate::answers::answers;
use crate::compiled::{Compiled, Values};
use crate::finding::Finding;
use crate::pages::{Page, Sample};
use crate::repository::{Repository, TextFile};

/// Error pages whose bad example does not yield exactly its code, or whose good one is not clean.
pub fn wrong_pages(registry: &[CodeEntry]) -> Vec<Finding> {
    registry.iter().flat_map(check_page).collect()
}

fn check_page(entry: &CodeEntry) -> Vec<Finding> {
    let place = format!("docs/errors/{}.md", entry.code);
    let page = Page::new(entry.page);
    let mut found = Vec::new();
    if let Some(Sample::Yaml(bad)) = page.bad() {
        let codes = codes_of(bad, page.answers("bad"));
        if codes.is_empty() || codes.iter().any(|code| *code != entry.code.to_string()) {
            let fact = format!("the bad example yields {codes:?}, not this code alone");
            found.push(Finding::new(&place, fact));
        }
    }
    if let Some(Sample::Yaml(good)) = page.good() {
        let codes = codes_of(good, page.answers("good"));
        if !codes.is_empty() {
            let fact = format!("the good example is not clean: {codes:?}");
            found.push(Finding::new(&place, fact));
        }
    }
    found
}

/// The codes of a text, and of what its servers answer if they are asked.
fn codes_of(text: &str, answered: Option<&str>) -> Vec<String> {
    let compiled = Compiled::of("mcpc.yaml", text.as_bytes().to_vec(), None);
    let compiled = match answered {
        Some(text) => compiled.answered(None, &answers(text)),
        None => compiled,
    };
    let codes = compiled.diagnostics.iter();
    codes
        .map(|diagnostic| diagnostic.code.to_string())
        .collect()
}

/// Files `examples/**/mcpc.yaml` that are not clean, or the finding that there is none.
pub fn wrong_examples(repository: &Repository) -> Vec<Finding> {
    let examples: Vec<&TextFile> = repository
        .with_suffix("/mcpc.yaml")
        .filter(|file| file.path.starts_with("examples/"))
        .collect();
    if examples.is_empty() {
        return vec![Finding::new("examples/", "holds no `mcpc.yaml`")];
    }
    examples
        .into_iter()
        .filter_map(|file| {
            let codes = codes_of(&file.text, None);
            (!codes.is_empty()).then(|| Finding::new(&file.path, format!("not clean: {codes:?}")))
        })
        .collect()
}

/// Pages that show what the quick start prints, with another digest than its plan has.
pub fn stale_digests(repository: &Repository) -> Vec<Finding> {
    let quick_start = repository.file("examples/quickstart/mcpc.yaml");
    let quick_start = quick_start.map_or("", |file| &file.text);
    let bytes = quick_start.as_bytes().to_vec();
    let compiled = Compiled::of("mcpc.yaml", bytes, Some(&Values::default()));
    let digest = compiled.plan.map(|plan| plan.digest.to_string());
    let digest = digest.unwrap_or_default();
    let short = digest.get(7..19).unwrap_or_default();
    [("README.md", short), ("docs/guide/commands.md", &*digest)]
        .into_iter()
        .filter(|(path, shown)| {
            let page = repository.file(path);
            shown.is_empty() || !page.is_some_and(|page| page.text.contains(shown))
        })
        .map(|(path, shown)| Finding::new(path, format!("does not show the plan `{shown}`")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpc_compiler::Code;

    #[test]
    fn page_with_another_code_and_example_with_a_mistake_are_found() {
        let page = "# x\n\n```yaml bad\nversion: 1\nversion: 1\n```\n\n```yaml good\n{\n```\n";
        let entry = |number| CodeEntry {
            code: Code(number),
            name: "",
            title: "",
            page,
        };
        // The bad example has a key twice (1008); the good one is no YAML.
        assert_eq!(check_page(&entry(1001)).len(), 2);
        let example = TextFile::new("examples/a/mcpc.yaml", "{");
        assert_eq!(wrong_examples(&Repository::of(vec![example])).len(), 1);
        assert_eq!(wrong_examples(&Repository::default()).len(), 1);
        assert_eq!(stale_digests(&Repository::default()).len(), 2);
    }
}
