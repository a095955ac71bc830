//! Findings about keys: unknown, missing, misspelt, badly named.
//!
//! A missing key and an unknown one that is spelt nearly the same are one mistake and one finding,
//! so keys are collected first and reported together.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Pass;
use crate::codes;
use crate::diagnostic::{Diagnostic, plain_text};
use crate::leaves::document;
use crate::source::Span;
use crate::suggest::{nearest, synonym};
use crate::tree::{self, NodeId, Style};

type Schema = Option<&'static Map<String, Value>>;

/// Keys of one text that are missing or unknown.
#[derive(Default)]
pub(super) struct Keys {
    unknown: Vec<(NodeId, String, Schema)>,
    missing: Vec<(NodeId, String)>,
}

impl Keys {
    /// Remembers the unknown keys of a map.
    pub(super) fn unknown(&mut self, node: NodeId, names: &[String], schema: Schema) {
        let names = names.iter().take(super::ERRORS_MAX);
        self.unknown
            .extend(names.map(|name| (node, name.clone(), schema)));
    }

    /// Remembers a key that a map lacks.
    pub(super) fn missing(&mut self, node: NodeId, name: &str) {
        self.missing.push((node, name.to_owned()));
    }

    /// Reports them all, each mistake once.
    pub(super) fn report(mut self, pass: &mut Pass<'_>) {
        for (node, name, schema) in std::mem::take(&mut self.unknown) {
            let lacks = self
                .missing
                .iter()
                .filter(|(map, _)| *map == node)
                .map(|(_, key)| key.as_str());
            let misspelt = nearest(&name, lacks).map(ToOwned::to_owned);
            if let Some(meant) = &misspelt {
                self.missing
                    .retain(|(map, key)| (*map, key) != (node, meant));
                pass.break_map(node);
            }
            unknown_key(pass, node, &name, misspelt.as_deref(), schema);
        }
        for (node, name) in &self.missing {
            missing_key(pass, *node, name);
        }
    }
}

/// The top-level `x-…` keys, which hold anchors and nothing else.
pub(super) fn anchor_keys(map: &tree::Map) -> BTreeSet<NodeId> {
    map.entries()
        .iter()
        .filter(|entry| entry.key.starts_with("x-"))
        .map(|entry| entry.value)
        .collect()
}

fn unknown_key(
    pass: &mut Pass<'_>,
    node: NodeId,
    name: &str,
    misspelt: Option<&str>,
    schema: Schema,
) {
    let tree = pass.tree;
    let Some(map) = tree.map(node) else { return };
    let Some(entry) = map.get(name) else { return };
    pass.dropped.insert(entry.value);
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let known = || {
        properties
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
    };
    let meant = misspelt
        .or_else(|| nearest(name, known()))
        .or_else(|| synonym(name).filter(|synonym| known().any(|key| key == *synonym)));
    let span = entry.key_span.wide();
    let path = tree.path(node).to_string();
    let message = if path.is_empty() {
        format!("unknown key `{}`", plain_text(name))
    } else {
        format!("unknown key `{}` in `{path}`", plain_text(name))
    };
    let diagnostic = match meant {
        Some(meant) if map.get(meant).is_none() => Diagnostic::error(
            codes::UNKNOWN_KEY,
            message,
            span,
            format!("did you mean `{meant}`?"),
        )
        .help(format!("write `{meant}`"))
        .fix(span, meant),
        Some(meant) => Diagnostic::error(codes::UNKNOWN_KEY, message, span, "no such key")
            .help(format!("remove it; `{meant}` is already given")),
        None => {
            let help = other_shape(name, &path).unwrap_or_else(|| match listed(known()) {
                Some(keys) => format!("remove it; the keys here are {keys}"),
                None => "remove it".to_owned(),
            });
            Diagnostic::error(codes::UNKNOWN_KEY, message, span, "no such key").help(help)
        }
    };
    pass.report(entry.value, diagnostic);
}

/// A key that another shape of server has, or that other tools ask for.
fn other_shape(name: &str, path: &str) -> Option<String> {
    if !path.starts_with("servers.") || path.matches('.').count() != 1 {
        return None;
    }
    if matches!(name, "type" | "transport") {
        return Some(
            "remove it; how a server is reached follows from `command`, `url` or `replicas`".into(),
        );
    }
    let shapes = [
        ("StdioServer", "command"),
        ("HttpServer", "url"),
        ("ReplicatedServer", "replicas"),
    ];
    let (_, shape) = shapes.iter().find(|(definition, _)| {
        document()
            .pointer(&format!("/$defs/{definition}/properties"))
            .is_some_and(|properties| properties.get(name).is_some())
    })?;
    Some(format!(
        "remove it; only a server with `{shape}` has `{name}`"
    ))
}

fn missing_key(pass: &mut Pass<'_>, node: NodeId, name: &str) {
    pass.break_map(node);
    let tree = pass.tree;
    let path = tree.path(node).to_string();
    let diagnostic = if path.is_empty() {
        let start = tree.node_span(node).start;
        let diagnostic = Diagnostic::error(
            codes::MISSING_KEY,
            format!("the configuration lacks the key `{name}`"),
            Span::new(start, first_word_end(pass, start)),
            format!("needs `{name}`"),
        );
        match name {
            "version" => at_top(
                pass,
                node,
                diagnostic.help("add `version: 1` as the first line"),
            ),
            _ => diagnostic.help(format!("add `{name}`")),
        }
    } else {
        Diagnostic::error(
            codes::MISSING_KEY,
            format!("`{path}` lacks the key `{name}`"),
            tree.label_span(Some(node)),
            format!("needs `{name}`"),
        )
        .help(format!("add `{name}`"))
    };
    pass.report(node, diagnostic);
}

/// A version can be put in front of a block map that starts its line.
fn at_top(pass: &Pass<'_>, root: NodeId, diagnostic: Diagnostic) -> Diagnostic {
    let start = pass.tree.node_span(root).start;
    let starts_line = pass.source.place(start).column == 1;
    let is_block = !pass
        .source
        .slice(pass.tree.node_span(root))
        .starts_with('{');
    if starts_line && is_block && pass.tree.style(root) == Style::Collection {
        diagnostic.fix(Span::new(start, start), "version: 1\n")
    } else {
        diagnostic
    }
}

fn first_word_end(pass: &Pass<'_>, start: usize) -> usize {
    let rest = pass.source.text().get(start..).unwrap_or_default();
    let length: usize = rest
        .chars()
        .take_while(|character| character.is_alphanumeric() || matches!(character, '_' | '-'))
        .map(char::len_utf8)
        .sum();
    start + length.max(rest.chars().next().map_or(0, char::len_utf8))
}

/// A name that a map with free names does not allow.
pub(super) fn bad_name(pass: &mut Pass<'_>, node: NodeId, name: &str) {
    let tree = pass.tree;
    let Some(entry) = tree.map(node).and_then(|map| map.get(name)) else {
        return;
    };
    pass.broken.insert(entry.value);
    let of = tree.entry_of(node).map_or("", |entry| &*entry.key);
    let (what, rule) = match of {
        "servers" => ("a server", NAME_RULE),
        "endpoints" => ("an endpoint", NAME_RULE),
        "env" => (
            "a variable",
            "a variable's name has letters, digits and `_`, and does not start with a digit",
        ),
        "headers" => (
            "a header",
            "a header's name has letters, digits and `! # $ % & ' * + . ^ _ | ~ -`",
        ),
        _ => ("a key", "the name does not have the allowed form"),
    };
    let diagnostic = Diagnostic::error(
        codes::BAD_NAME,
        format!("`{}` cannot be the name of {what}", plain_text(name)),
        entry.key_span.wide(),
        "not an allowed name",
    )
    .help(rule);
    pass.report(entry.value, diagnostic);
}

const NAME_RULE: &str =
    "a name has 1 to 64 letters, digits, `_` and `-`, and starts with a letter or digit";

/// `a`, `b` and `c`; nothing if there are none.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let last = names.pop()?;
    if names.is_empty() {
        return Some(last);
    }
    Some(format!("{} and {last}", names.join(", ")))
}
