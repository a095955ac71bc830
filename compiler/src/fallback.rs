//! What a text says of the last good plan, although no plan may come of it.
//!
//! Owns the one question that is asked of a configuration that cannot be used. Whoever wrote it in so many
//! words meant it, whatever is wrong elsewhere; what is left open here, the plan that was live last says
//! (`docs/guide/live-reload.md`). Reads through `parse`, and believes nothing that is not plain.

use mcpc_plan::Fallback;

use crate::diagnostic::Sink;
use crate::parse;
use crate::path::Path;
use crate::source::Source;
use crate::tree::Content;

const KEY: &str = "fallback";

/// What a text says under `fallback`, if it can be read as YAML and says it once and without a placeholder.
pub fn said_fallback(source: &Source) -> Option<Fallback> {
    let mut sink = Sink::default();
    let tree = parse::parse(source, &mut sink)?;
    let found = sink.into_sorted();
    let mut findings = found.iter();
    if findings.any(|finding| source.slice(finding.primary.span) == KEY) {
        return None;
    }
    match tree.content(tree.find(&Path::of([KEY]))?) {
        Content::Text(text) if &**text == "none" => Some(Fallback::None),
        Content::Text(text) if &**text == "last_good" => Some(Fallback::LastGood),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_plain_is_believed() {
        let said = |text: &str| said_fallback(&Source::new("mcpc.yaml", text));
        let good = Some(Fallback::LastGood);
        assert_eq!(said("fallback: last_good\nservers: 7\n"), good);
        assert_eq!(said("{\"version\": 9, \"fallback\": \"last_good\"}"), good);
        assert_eq!(said("fallback: none\nx: 1\nx: 2\n"), Some(Fallback::None));
        for text in [
            "",
            "fallback:",
            "fallback: last-good",
            "fallback: [last_good]",
            "fallback: $<F:-last_good>",
            "servers: { fallback: last_good }",
            "- fallback: last_good",
            "fallback: none\nfallback: last_good\n",
            "fallback: last_good\nservers: {",
            "fallback: last_good\n\tx: 1",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }
}
