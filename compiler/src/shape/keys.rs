//! Findings about keys: unknown, missing, misspelt, badly named.

use super::Pass;
use crate::codes;
use crate::diagnostic::{Diagnostic, plain_text};
use crate::schema::{self, MapForm, Pattern};
use crate::source::Span;
use crate::tree::{Content, Entry, Map, NodeId, Style, Tree};

/// A key that the form of its map does not have.
pub(super) fn unknown_key(
    pass: &mut Pass<'_>,
    node: NodeId,
    (map, entry): (&Map, &Entry),
    form: &MapForm,
) {
    let name = &*entry.key;
    let path = pass.tree.path(node).to_string();
    let span = entry.key_span.wide();
    let message = if path.is_empty() {
        format!("unknown key `{}`", plain_text(name))
    } else {
        format!("unknown key `{}` in `{path}`", plain_text(name))
    };
    let diagnostic = match pass.meaning.meant(entry) {
        _ if is_placeholder(name) => {
            Diagnostic::error(codes::UNKNOWN_KEY, message, span, "no such key")
                .help(PLACEHOLDER_IN_NAME)
        }
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
            let help = elsewhere(name, &path, form).unwrap_or_else(|| {
                let is_part = matches!(
                    pass.tree.content(entry.value),
                    Content::Map(_) | Content::List(_)
                );
                let remove = if is_part && form.is_anchor("x-") {
                    "remove it, or begin its name with `x-` if other places take it by an anchor"
                } else {
                    "remove it"
                };
                let keys = keys_here(form).map(|keys| format!("; {keys}"));
                format!("{remove}{}", keys.unwrap_or_default())
            });
            Diagnostic::error(codes::UNKNOWN_KEY, message, span, "no such key").help(help)
        }
    };
    pass.report(entry.value, diagnostic);
}

/// A key that another shape of server or an endpoint has, or that other tools ask for.
fn elsewhere(name: &str, path: &str, form: &MapForm) -> Option<String> {
    if matches!(path, "listen" | "admin") && name == "port" {
        let help = "write it into `address`, for example `address: 127.0.0.1:8080`";
        return Some(help.to_owned());
    }
    // The first part may be misspelt, as in `mcpServers`.
    let is_server = ["command", "url", "replicas"]
        .iter()
        .any(|key| form.property(key).is_some());
    if !is_server || path.matches('.').count() != 1 {
        return None;
    }
    let words = match name {
        "type" | "transport" => {
            "remove it; how a server is reached follows from `command`, `url` or `replicas`"
        }
        "disabled" | "enabled" => "remove it; a server that is not wanted is left out",
        "prefix" => "remove it; an endpoint has a `prefix`, for all of its servers",
        _ => "",
    };
    if !words.is_empty() {
        return Some(words.to_owned());
    }
    let shape = schema::servers()?.shape_with(name)?;
    Some(format!(
        "remove it; only a server with `{shape}` has `{name}`"
    ))
}

/// What is said of a plan in place of a configuration: none of its keys would be right.
pub(super) fn plan_given(tree: &Tree, root: NodeId) -> Option<Diagnostic> {
    let Content::Map(map) = tree.content(root) else {
        return None;
    };
    if map.get("version").is_some() || map.get("format").is_none() {
        return None;
    }
    let digest = map.entries().iter().find(|entry| &*entry.key == "digest")?;
    Some(
        Diagnostic::error(
            codes::PLAN_GIVEN,
            "this is a plan and not a configuration",
            digest.key_span.wide(),
            "only a plan has a digest",
        )
        .help("serve it with `mcpcd --plan`, or give the configuration that it was compiled from"),
    )
}

/// A key that a map lacks.
pub(super) fn missing_key(pass: &mut Pass<'_>, node: NodeId, name: &str) {
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
            // In JSON, and in YAML that looks like it.
            "version"
                if pass
                    .source
                    .text()
                    .get(start..)
                    .is_some_and(|it| it.starts_with('{')) =>
            {
                diagnostic.help("add `\"version\": 1,` behind the first `{`")
            }
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

/// A name that a map with free names does not allow. What it names is left out.
pub(super) fn bad_name(pass: &mut Pass<'_>, node: NodeId, entry: &Entry, names: &Pattern) {
    pass.broken.insert(entry.value);
    let tree = pass.tree;
    let of = tree.entry_of(node).map_or("", |entry| &*entry.key);
    let what = match of {
        "servers" => "a server",
        "endpoints" => "an endpoint",
        "env" => "a variable",
        "headers" => "a header",
        _ => "a key",
    };
    let shown = if entry.key.is_empty() {
        "an empty text".to_owned()
    } else {
        format!("`{}`", plain_text(&entry.key))
    };
    let rule = if is_placeholder(&entry.key) {
        PLACEHOLDER_IN_NAME
    } else {
        names.rule
    };
    let message = format!("{shown} cannot be the name of {what}");
    let span = entry.key_span.wide();
    let diagnostic = Diagnostic::error(codes::BAD_NAME, message, span, names.label).help(rule);
    pass.report(entry.value, diagnostic);
}

const PLACEHOLDER_IN_NAME: &str =
    "write the name itself; placeholders stand for values, and keys are never expanded";

fn is_placeholder(name: &str) -> bool {
    name.contains("$<") || name.contains("${")
}

/// `the keys here are`, and which they are; nothing if there are none.
pub(super) fn keys_here(form: &MapForm) -> Option<String> {
    let mut names: Vec<String> = form.keys().map(|name| format!("`{name}`")).collect();
    let last = names.pop()?;
    if names.is_empty() {
        return Some(format!("the key here is {last}"));
    }
    Some(format!("the keys here are {} and {last}", names.join(", ")))
}
