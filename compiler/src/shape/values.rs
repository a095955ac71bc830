//! Findings about values: wrong type, not one of the choices, out of range, wrong length or form.

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::{Pass, kind_code};
use crate::codes;
use crate::diagnostic::{Diagnostic, Fix, plain_text};
use crate::leaves::Leaf;
use crate::scalar;
use crate::source::Span;
use crate::suggest::nearest;
use crate::tree::{Content, NodeId, Style};

type Schema<'s> = Option<&'s Map<String, Value>>;

/// Reports an error about one value.
pub(super) fn explain(
    pass: &mut Pass<'_>,
    node: NodeId,
    kind: &ValidationErrorKind,
    schema: Schema<'_>,
) {
    pass.broken.insert(node);
    let name = named(pass, node);
    let span = pass.tree.span(Some(node));
    let key = pass.tree.label_span(Some(node));
    let range = |text: String| Diagnostic::error(codes::OUT_OF_RANGE, text, span, "out of range");
    let length = |text: String, label| Diagnostic::error(codes::LENGTH, text, span, label);
    let diagnostic = match kind {
        ValidationErrorKind::Type { .. } => wrong_type(pass, node, &name, schema),
        ValidationErrorKind::Enum { options } => choice(pass, node, &name, options),
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. }
            if name == "`version`" =>
        {
            Diagnostic::error(
                codes::VERSION,
                "this version of the configuration language is not known",
                span,
                "there is only version 1",
            )
            .help("write `version: 1`")
        }
        ValidationErrorKind::Minimum { limit } => range(format!("{name} must be at least {limit}")),
        ValidationErrorKind::Maximum { limit } => range(format!("{name} must be at most {limit}")),
        ValidationErrorKind::MinLength { .. } => {
            length(format!("{name} must not be empty"), "this text is empty")
        }
        ValidationErrorKind::MaxLength { limit } => length(
            format!("{name} has at most {limit} characters"),
            "this text is too long",
        ),
        ValidationErrorKind::MinProperties { .. } | ValidationErrorKind::MinItems { .. } => {
            Diagnostic::error(
                codes::LENGTH,
                format!("{name} must not be empty"),
                key,
                "needs at least one entry",
            )
        }
        ValidationErrorKind::MaxItems { limit } => Diagnostic::error(
            codes::LENGTH,
            format!("{name} has at most {limit} items"),
            key,
            "has more items",
        ),
        ValidationErrorKind::Pattern { .. } => form(pass, node, &name, span),
        _ => Diagnostic::error(
            codes::FORM,
            format!("{name} does not have the allowed form"),
            span,
            "not allowed here",
        ),
    };
    pass.report(node, diagnostic);
}

/// The path of a node, in backticks.
fn named(pass: &Pass<'_>, node: NodeId) -> String {
    let path = pass.tree.path(node).to_string();
    if path.is_empty() {
        return "the configuration".to_owned();
    }
    format!("`{path}`")
}

fn wrong_type(pass: &Pass<'_>, node: NodeId, name: &str, schema: Schema<'_>) -> Diagnostic {
    let text = |keyword: &str| {
        let value = schema.and_then(|schema| schema.get(keyword));
        value.and_then(Value::as_str).unwrap_or_default()
    };
    let (kind, wanted) = (text(mcpc_config::KIND_KEYWORD), text("type"));
    let span = pass.tree.span(Some(node));
    let content = pass.tree.content(node);
    if *content == Content::Null {
        return Diagnostic::error(
            codes::WRONG_TYPE,
            format!("{name} has no value"),
            span,
            format!("needs {}", wanted_words(kind, wanted)),
        )
        .help("give it a value, or remove the key");
    }
    let unit = match kind {
        "duration" => "s",
        "size" => "MiB",
        "rate" => "/m",
        "percent" => "%",
        _ => "",
    };
    if let (Content::Integer(_), Some(code)) = (content, kind_code(kind))
        && !unit.is_empty()
    {
        let example = match content {
            Content::Integer(number) if pass.may_tell(node) => format!("{number}{unit}"),
            _ => format!("20{unit}"),
        };
        return Diagnostic::error(
            code,
            format!("{name} needs a unit"),
            span,
            format!("needs {}", wanted_words(kind, wanted)),
        )
        .help(format!("add the unit, for example `{example}`"));
    }
    let diagnostic = Diagnostic::error(
        codes::WRONG_TYPE,
        format!("{name} must be {}", wanted_words(kind, wanted)),
        span,
        format!("this is {}", content_words(content)),
    );
    repair_type(pass, node, wanted, diagnostic)
}

/// What turns the value into one of the wanted type, where that is certain.
fn repair_type(pass: &Pass<'_>, node: NodeId, wanted: &str, diagnostic: Diagnostic) -> Diagnostic {
    let span = pass.tree.node_span(node);
    let style = pass.tree.style(node);
    match (wanted, pass.tree.content(node)) {
        ("string", Content::Integer(_) | Content::Float(_) | Content::Bool(_)) => {
            let mut diagnostic = diagnostic.help("put it in quotes");
            diagnostic.fix = Some(quotes(span));
            diagnostic
        }
        ("boolean", Content::Text(text)) if style == Style::Plain => {
            let meant = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => "true",
                "no" | "off" | "n" => "false",
                _ => return diagnostic,
            };
            diagnostic
                .help(format!("write `{meant}`"))
                .note("`yes`, `no`, `on` and `off` are text in YAML 1.2")
                .fix(span, meant)
        }
        ("boolean" | "integer", Content::Text(text)) if style == Style::Quoted => {
            let fits = match scalar::resolve(text) {
                scalar::Resolved::Value(Content::Bool(_)) => wanted == "boolean",
                scalar::Resolved::Value(Content::Integer(_)) => wanted == "integer",
                _ => false,
            };
            if !fits {
                return diagnostic;
            }
            let repaired = diagnostic.help("remove the quotes");
            if pass.may_tell(node) {
                repaired.fix(span, &**text)
            } else {
                repaired
            }
        }
        ("array", Content::Text(_) | Content::Integer(_) | Content::Bool(_)) => {
            diagnostic.help("put the value in brackets to make a list of it: `[…]`")
        }
        ("object", Content::List(_)) => {
            diagnostic.help("write `name: value` entries, without `- ` in front of them")
        }
        _ => diagnostic,
    }
}

/// Quotes around a span. Two insertions, so that a repair never repeats the value.
fn quotes(span: Span) -> Fix {
    let at = |byte: usize| (Span::new(byte, byte), "\"".to_owned());
    Fix {
        edits: vec![at(span.start), at(span.end)],
    }
}

fn choice(pass: &Pass<'_>, node: NodeId, name: &str, options: &Value) -> Diagnostic {
    let options = options.as_array().into_iter().flatten();
    let options: Vec<&str> = options.filter_map(Value::as_str).collect();
    let all: Vec<String> = options.iter().map(|option| format!("`{option}`")).collect();
    let span = pass.tree.span(Some(node));
    let help = format!("use one of {}", all.join(", "));
    let text = match pass.tree.content(node) {
        Content::Text(text) if pass.may_tell(node) => text,
        _ => {
            let message = format!("{name} is not one of its choices");
            return Diagnostic::error(codes::CHOICE, message, span, "not one of the choices")
                .help(help);
        }
    };
    let message = format!("`{}` is not a choice for {name}", plain_text(text));
    match nearest(text, options) {
        Some(meant) => {
            let label = format!("did you mean `{meant}`?");
            Diagnostic::error(codes::CHOICE, message, span, label)
                .help(help)
                .fix(span, meant)
        }
        None => {
            Diagnostic::error(codes::CHOICE, message, span, "not one of the choices").help(help)
        }
    }
}

/// A text without a kind that has to match a pattern.
fn form(pass: &Pass<'_>, node: NodeId, name: &str, span: Span) -> Diagnostic {
    let key_of = |node| pass.tree.entry_of(node).map(|entry| &*entry.key);
    let above = pass.tree.parent(node).and_then(key_of);
    let (label, help) = match (above, key_of(node)) {
        (Some("rename"), _) => (
            "not a name that clients can call",
            "a name has 1 to 128 letters, digits, `_`, `-` and `.`",
        ),
        (_, Some("path")) => (
            "not a path",
            "a path starts with `/` and has letters, digits and `. _ ~ - /`, at most 256 in all",
        ),
        (_, Some("prefix")) => (
            "not a prefix",
            "a prefix has letters, digits, `_`, `-`, `.` and `{server}`, at most 64 in all",
        ),
        _ => (
            "not of the allowed form",
            "see the schema for what is allowed",
        ),
    };
    Diagnostic::error(
        codes::FORM,
        format!("{name} does not have the allowed form"),
        span,
        label,
    )
    .help(help)
}

/// Warns about text that other tools, which follow YAML 1.1, do not read as text.
pub(super) fn look_alike(pass: &mut Pass<'_>, leaf: &Leaf) {
    let node = leaf.node;
    let is_free_text = leaf.json_type() == "string" && !leaf.schema.contains_key("enum");
    if !is_free_text || pass.tree.style(node) != Style::Plain || !pass.may_tell(node) {
        return;
    }
    let Content::Text(text) = pass.tree.content(node) else {
        return;
    };
    let Some(reading) = scalar::yaml_1_1_reading(text) else {
        return;
    };
    if pass.is_silent(node) || super::kind_code(leaf.kind()).is_some_and(|code| code != codes::GLOB)
    {
        return;
    }
    let span = pass.tree.node_span(node);
    let mut diagnostic = Diagnostic::warning(
        codes::LOOK_ALIKE,
        format!("`{text}` is text here, but {reading} for tools that follow YAML 1.1"),
        span,
        "read as text",
    )
    .help(format!("put it in quotes: `\"{text}\"`"));
    diagnostic.fix = Some(quotes(span));
    pass.report(node, diagnostic);
}

fn wanted_words(kind: &str, json_type: &str) -> &'static str {
    match (kind, json_type) {
        ("duration", _) => "a duration such as `30s`",
        ("size", _) => "a size such as `4MiB`",
        ("rate", _) => "a rate such as `100/m`",
        ("percent", _) => "a share such as `20%`",
        ("address", _) => "an address such as `127.0.0.1:8080`",
        ("url", _) => "a URL",
        ("glob", _) => "a pattern",
        ("host", _) => "a host name",
        (_, "string") => "text",
        (_, "integer") => "a whole number",
        (_, "boolean") => "`true` or `false`",
        (_, "array") => "a list",
        (_, "object") => "a map",
        _ => "something else",
    }
}

fn content_words(content: &Content) -> &'static str {
    match content {
        Content::Null => "nothing",
        Content::Bool(_) => "`true` or `false`",
        Content::Integer(_) => "a whole number",
        Content::Float(_) => "a number with a fraction or exponent",
        Content::Text(_) => "text",
        Content::List(_) => "a list",
        Content::Map(_) => "a map",
    }
}
