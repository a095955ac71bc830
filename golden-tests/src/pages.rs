//! The pages of the error codes: their parts, and the index over all of them.
//!
//! Owns the form that a page has. What its examples must yield is checked where they are compiled.

use mcpc_compiler::CodeEntry;

/// A page, by its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    text: &'a str,
}

/// An example on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample<'a> {
    /// A whole configuration, to be compiled.
    Yaml(&'a str),
    /// A situation that no configuration text can show.
    Text(&'a str),
}

impl<'a> Page<'a> {
    /// The page with this text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The first line.
    pub(crate) fn heading(&self) -> &'a str {
        self.text.lines().next().unwrap_or_default()
    }

    /// What stands between the heading and the example.
    pub(crate) fn meaning(&self) -> &'a str {
        let body = self.text.split_once('\n').map_or("", |(_, body)| body);
        body.split("\n## ").next().unwrap_or_default().trim()
    }

    /// Whether a line is exactly this heading.
    pub(crate) fn has_section(&self, heading: &str) -> bool {
        self.text.lines().any(|line| line == heading)
    }

    /// The failing example.
    pub(crate) fn bad(&self) -> Option<Sample<'a>> {
        self.sample("bad")
    }

    /// The fixed example.
    pub(crate) fn good(&self) -> Option<Sample<'a>> {
        self.sample("good")
    }

    /// What the servers of the `bad` or the `good` example answer, if they are asked.
    pub(crate) fn answers(&self, word: &str) -> Option<&'a str> {
        self.block("json", word)
    }

    fn sample(&self, word: &str) -> Option<Sample<'a>> {
        let yaml = self.block("yaml", word).map(Sample::Yaml);
        yaml.or_else(|| self.block("text", word).map(Sample::Text))
    }

    fn block(&self, language: &str, word: &str) -> Option<&'a str> {
        let (_, rest) = self.text.split_once(&format!("\n```{language} {word}\n"))?;
        let (block, _) = rest.split_once("```")?;
        (block.is_empty() || block.ends_with('\n')).then_some(block)
    }
}

const INDEX_HEAD: &str = "# Error codes

Every diagnostic and every reply that the gateway makes itself carries a code; `mcpc explain CODE` prints
its page. Codes are never renumbered and never reused. This index is generated; a test fails if it is
stale.
";

const FAMILIES: [(u16, &str); 10] = [
    (0, "The tool itself"),
    (1, "Parse: the text is not the YAML that we read"),
    (2, "Expand: variables"),
    (3, "Shape: keys, types, ranges"),
    (4, "Decode: single values"),
    (5, "Resolve: names that refer to something"),
    (6, "Check: what the whole configuration means"),
    (7, "Online: what the servers say when they are asked"),
    (8, "Loading a plan"),
    (9, "Replies of the data plane"),
];

/// `docs/errors/README.md`.
pub fn error_index(registry: &[CodeEntry]) -> String {
    let mut index = INDEX_HEAD.to_owned();
    for (digit, family) in FAMILIES {
        let members: Vec<&CodeEntry> = registry
            .iter()
            .filter(|entry| entry.code.0 / 1000 == digit)
            .collect();
        if members.is_empty() {
            continue;
        }
        index.extend(["\n## ", family, "\n\n"]);
        for entry in members {
            let code = entry.code;
            index.extend([&format!("* [{code}]({code}.md): "), entry.title, "\n"]);
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_taken_apart() {
        let page = Page::new(
            "# T\n\nWhat\nit is.\n\n## Example\n\n```yaml bad\na: 1\n```\n\n## Fix\n\n```text good\nx\n```\n",
        );
        assert_eq!(page.heading(), "# T");
        assert_eq!(page.meaning(), "What\nit is.");
        assert_eq!(page.bad(), Some(Sample::Yaml("a: 1\n")));
        assert_eq!(page.good(), Some(Sample::Text("x\n")));
        assert!(page.has_section("## Fix") && !page.has_section("## Fi"));
    }
}
