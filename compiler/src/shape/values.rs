//! Findings about values: wrong type, not one of the choices, out of range, wrong length or form.

use mcpc_config::{Duration, Size};

use super::keys::keys_here;
use super::{Pass, kind_code};
use crate::codes;
use crate::diagnostic::{Diagnostic, Fix, plain_text};
use crate::meaning::Leaf;
use crate::scalar;
use crate::schema::{IntegerForm, Kind, Pattern, Schema, TextForm};
use crate::source::Span;
use crate::suggest::nearest;
use crate::tree::{Content, NodeId, Style};

/// Judges a value that is not a map or list where one is wanted.
pub(super) fn judge(pass: &mut Pass<'_>, node: NodeId, schema: &Schema) {
    let found = match (schema, pass.tree.content(node)) {
        (Schema::Text(form), Content::Text(text)) => judge_text(pass, node, form, text),
        (Schema::Integer(form), Content::Integer(number)) => {
            let outside = *number < form.min || form.max.is_some_and(|max| *number > max);
            outside.then(|| out_of_range(pass, node, form, *number < form.min))
        }
        // For JSON Schema `1.0` is a whole number.
        (Schema::Integer(form), Content::Float(number)) if number.fract() == 0.0 => {
            let (min, max) = (bound(form.min), form.max.map(bound));
            let outside = *number < min || max.is_some_and(|max| *number > max);
            outside.then(|| out_of_range(pass, node, form, *number < min))
        }
        (Schema::Boolean, Content::Bool(_)) => None,
        _ => Some(wrong_type(pass, node, schema)),
    };
    if let Some(diagnostic) = found {
        pass.broken.insert(node);
        pass.report(node, diagnostic);
    }
}

/// The bounds of the schema are small enough to be floats.
#[expect(clippy::cast_precision_loss, reason = "bounds are below 2^53")]
const fn bound(limit: i64) -> f64 {
    limit as f64
}

/// Judges the number of entries or items.
pub(super) fn judge_count(
    pass: &mut Pass<'_>,
    node: NodeId,
    count: usize,
    (min, max): (usize, usize),
) {
    let (fact, label) = if count < min {
        ("must not be empty".to_owned(), "needs at least one entry")
    } else if count > max {
        (format!("has at most {max} items"), "has more items")
    } else {
        return;
    };
    pass.broken.insert(node);
    let message = format!("{} {fact}", named(pass, node));
    let key = pass.tree.label_span(Some(node));
    pass.report(node, Diagnostic::error(codes::LENGTH, message, key, label));
}

fn judge_text(pass: &Pass<'_>, node: NodeId, form: &TextForm, text: &str) -> Option<Diagnostic> {
    if !form.choices.is_empty() {
        let is_choice = form.choices.iter().any(|choice| **choice == *text);
        return (!is_choice).then(|| choice(pass, node, &named(pass, node), form));
    }
    let span = pass.tree.span(Some(node));
    let length = |fact: String, label| {
        let message = format!("{} {fact}", named(pass, node));
        Some(Diagnostic::error(codes::LENGTH, message, span, label))
    };
    // A text has at most as many characters as bytes, so that most need no counting.
    let is_longer = text.len() > form.chars_max && text.chars().count() > form.chars_max;
    if form.chars_min > 0 && text.chars().count() < form.chars_min {
        return length("must not be empty".to_owned(), "this text is empty");
    }
    if is_longer {
        let fact = format!("has at most {} characters", form.chars_max);
        return length(fact, "this text is too long");
    }
    let misses = form.pattern.filter(|pattern| !pattern.fits(text));
    misses.map(|pattern| wrong_form(pass, node, pattern))
}

fn out_of_range(pass: &Pass<'_>, node: NodeId, form: &IntegerForm, is_low: bool) -> Diagnostic {
    let (name, span) = (named(pass, node), pass.tree.span(Some(node)));
    if name == "`version`" {
        return Diagnostic::error(
            codes::VERSION,
            "this version of the configuration language is not known",
            span,
            "there is only version 1",
        )
        .help("write `version: 1`");
    }
    let message = match form.max {
        Some(max) if !is_low => format!("{name} must be at most {max}"),
        _ => format!("{name} must be at least {}", form.min),
    };
    Diagnostic::error(codes::OUT_OF_RANGE, message, span, "out of range")
}

/// The path of a node, in backticks.
fn named(pass: &Pass<'_>, node: NodeId) -> String {
    let path = pass.tree.path(node).to_string();
    if path.is_empty() {
        return "the configuration".to_owned();
    }
    format!("`{path}`")
}

/// From here on a size without a unit is taken for a number of bytes: nobody means 64 GiB by it.
const BYTES_MIN: i64 = 65_536;

/// A number of bytes with the unit that fits; nothing if no size is that large.
fn bytes(number: i64) -> Option<String> {
    let size = Size::parse(&format!("{number}B")).ok()?;
    Some(size.to_string())
}

/// Whole thousands are milliseconds, as many other tools write them, in the unit that fits; nothing
/// if no duration is that long.
fn milliseconds(number: i64) -> Option<String> {
    let duration = Duration::parse(&format!("{number}ms")).ok()?;
    Some(duration.to_string())
}

fn wrong_type(pass: &Pass<'_>, node: NodeId, schema: &Schema) -> Diagnostic {
    let name = named(pass, node);
    let span = pass.tree.span(Some(node));
    let content = pass.tree.content(node);
    if *content == Content::Null {
        return Diagnostic::error(
            codes::WRONG_TYPE,
            format!("{name} has no value"),
            span,
            format!("needs {}", wanted_words(schema)),
        )
        .help("give it a value, or remove the key");
    }
    let unit = match schema.kind() {
        Kind::Duration => "s",
        Kind::Size => "MiB",
        Kind::Rate => "/m",
        Kind::Percent => "%",
        _ => "",
    };
    if let (Content::Integer(number), Some(code)) = (content, kind_code(schema.kind()))
        && !unit.is_empty()
    {
        let told = (*number > 0 && pass.may_tell(node)).then_some(*number);
        let example = match told {
            Some(number) if schema.kind() == Kind::Size && number >= BYTES_MIN => bytes(number),
            Some(number) if schema.kind() == Kind::Duration && number % 1000 == 0 => {
                milliseconds(number)
            }
            Some(number) => Some(format!("{number}{unit}")),
            None => None,
        };
        let example = example.unwrap_or_else(|| format!("20{unit}"));
        return Diagnostic::error(
            code,
            format!("{name} needs a unit"),
            span,
            format!("needs {}", wanted_words(schema)),
        )
        .help(format!("add the unit, for example `{example}`"));
    }
    let diagnostic = Diagnostic::error(
        codes::WRONG_TYPE,
        format!("{name} must be {}", wanted_words(schema)),
        span,
        format!("this is {}", content_words(content)),
    );
    repair_type(pass, node, schema, diagnostic)
}

/// What turns the value into one of the wanted type, where that is certain.
fn repair_type(
    pass: &Pass<'_>,
    node: NodeId,
    schema: &Schema,
    diagnostic: Diagnostic,
) -> Diagnostic {
    let span = pass.tree.node_span(node);
    let style = pass.tree.style(node);
    match (schema, pass.tree.content(node)) {
        (Schema::Text(form), _) if !form.choices.is_empty() => diagnostic.help(choices_help(form)),
        // In quotes it would still be no address or URL.
        (Schema::Text(form), Content::Integer(_) | Content::Float(_) | Content::Bool(_))
            if kind_code(form.kind).is_some_and(|code| code != codes::GLOB) =>
        {
            diagnostic.help(examples_help(form))
        }
        (Schema::Text(_), Content::Integer(_) | Content::Float(_) | Content::Bool(_)) => {
            let mut diagnostic = diagnostic.help("put it in quotes");
            diagnostic.fix = Some(quotes(span));
            diagnostic
        }
        (Schema::Boolean, Content::Text(text)) if style == Style::Plain => {
            let meant = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => "true",
                "no" | "off" | "n" => "false",
                _ => return diagnostic.help("write `true` or `false`"),
            };
            diagnostic
                .help(format!("write `{meant}`"))
                .note("`yes`, `no`, `on` and `off` are text in YAML 1.2")
                .fix(span, meant)
        }
        (Schema::Boolean | Schema::Integer(_), Content::Text(text)) if style == Style::Quoted => {
            let fits = match scalar::resolve(text) {
                scalar::Resolved::Value(Content::Bool(_)) => matches!(schema, Schema::Boolean),
                scalar::Resolved::Value(Content::Integer(_)) => {
                    matches!(schema, Schema::Integer(_))
                }
                _ => false,
            };
            if !fits {
                return diagnostic.help(plainly(schema));
            }
            let repaired = diagnostic.help("remove the quotes");
            if pass.may_tell(node) {
                repaired.fix(span, &**text)
            } else {
                repaired
            }
        }
        _ => match in_words(pass, node, schema) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        },
    }
}

/// What to write in place of a value, where no repair is certain.
fn in_words(pass: &Pass<'_>, node: NodeId, schema: &Schema) -> Option<String> {
    let words = match (schema, pass.tree.content(node)) {
        (Schema::Boolean | Schema::Integer(_), _) => plainly(schema),
        (Schema::List(_), Content::Map(_)) => {
            "put `- ` in front of each item, or the items in brackets: `[…]`"
        }
        (Schema::List(_), Content::Text(_)) if is_at(pass, node, "args") => {
            "write a list with an item for each argument: `[--port, \"80\"]`"
        }
        (Schema::List(_), _) => "put the value in brackets to make a list of it: `[…]`",
        (Schema::Map(_) | Schema::Server(_), Content::List(_)) => {
            "write `name: value` entries, without `- ` in front of them"
        }
        (Schema::Server(_), _) => "a server is a map with one of `command`, `url` and `replicas`",
        (Schema::Map(form), Content::Text(_) | Content::Integer(_))
            if form.property("address").is_some() =>
        {
            "write it as its address: `{ address: \"127.0.0.1:8080\" }`"
        }
        (Schema::Map(form), Content::Text(_)) if form.property("url").is_some() => {
            "write it as its URL: `{ url: \"https://mcp.example.com/mcp\" }`"
        }
        (Schema::Map(form), _) => match keys_here(form) {
            Some(keys) => return Some(format!("write a map; {keys}")),
            None => "write `name: value` entries",
        },
        (Schema::Text(_), Content::List(_)) if is_at(pass, node, "command") => {
            "write the program alone, and what follows it as a list under `args`"
        }
        (Schema::Text(form), _) if !form.examples.is_empty() => return Some(examples_help(form)),
        (Schema::Text(_), _) => "write one text",
        (Schema::Anything, _) => return None,
    };
    Some(words.to_owned())
}

/// How numbers and truth values are written.
const fn plainly(schema: &Schema) -> &'static str {
    match schema {
        Schema::Boolean => "write `true` or `false`",
        _ => "write digits alone, with no zero in front, no unit and no quotes",
    }
}

/// Other tools take a program and its arguments as one list, or as one text.
fn is_at(pass: &Pass<'_>, node: NodeId, key: &str) -> bool {
    let entry = pass.tree.entry_of(node);
    entry.is_some_and(|entry| &*entry.key == key)
}

/// What such a text looks like.
fn examples_help(form: &TextForm) -> String {
    let examples: Vec<String> = form
        .examples
        .iter()
        .map(|text| format!("`{text}`"))
        .collect();
    format!("for example {}", examples.join(", "))
}

/// Quotes around a span. Two insertions, so that a repair never repeats the value.
fn quotes(span: Span) -> Fix {
    let at = |byte: usize| (Span::new(byte, byte), "\"".to_owned());
    Fix {
        edits: vec![at(span.start), at(span.end)],
    }
}

fn choice(pass: &Pass<'_>, node: NodeId, name: &str, form: &TextForm) -> Diagnostic {
    let options = form.choices.iter().map(|choice| &**choice);
    let span = pass.tree.span(Some(node));
    let help = choices_help(form);
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

fn choices_help(form: &TextForm) -> String {
    let all: Vec<String> = form
        .choices
        .iter()
        .map(|option| format!("`{option}`"))
        .collect();
    format!("use one of {}", all.join(", "))
}

/// A text without a kind that has to match a pattern.
fn wrong_form(pass: &Pass<'_>, node: NodeId, pattern: &Pattern) -> Diagnostic {
    Diagnostic::error(
        codes::FORM,
        format!("{} does not have the allowed form", named(pass, node)),
        pass.tree.span(Some(node)),
        pattern.label,
    )
    .help(pattern.rule)
}

/// Warns about text that other tools, which follow YAML 1.1, do not read as text.
pub(super) fn look_alike(pass: &mut Pass<'_>, leaf: &Leaf) {
    let node = leaf.node;
    let is_free_text = matches!(leaf.schema, Schema::Text(form) if form.choices.is_empty());
    if !is_free_text || pass.tree.style(node) != Style::Plain || !pass.may_tell(node) {
        return;
    }
    let Content::Text(text) = pass.tree.content(node) else {
        return;
    };
    let Some(reading) = scalar::yaml_1_1_reading(text) else {
        return;
    };
    let has_form = !matches!(leaf.kind(), Kind::Plain | Kind::Secret | Kind::Glob);
    if has_form || pass.broken.contains(&node) {
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

fn wanted_words(schema: &Schema) -> &'static str {
    match schema {
        Schema::Text(form) => match form.kind {
            Kind::Duration => "a duration such as `30s`",
            Kind::Size => "a size such as `4MiB`",
            Kind::Rate => "a rate such as `100/m`",
            Kind::Percent => "a share such as `20%`",
            Kind::Address => "an address such as `127.0.0.1:8080`",
            Kind::Url => "a URL",
            Kind::Glob => "a pattern",
            Kind::Host => "a host name",
            Kind::Plain | Kind::Secret => "text",
        },
        Schema::Integer(_) => "a whole number",
        Schema::Boolean => "`true` or `false`",
        Schema::List(_) => "a list",
        Schema::Map(_) | Schema::Server(_) => "a map",
        Schema::Anything => "something else",
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
