//! The compiler's own walk of a configuration against a validator of JSON Schema that others wrote.
//!
//! Owns the proof that the published schema and the `shape` pass say the same, over the whole
//! compile corpus and its mutants, and that the schema takes every placeholder that the compiler
//! takes. What the compiler says about a mistake is in `golden.rs`.

#![expect(
    clippy::expect_used,
    reason = "a test stops where its own schema is none"
)]

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use mcpc_compiler::{Source, shape_verdict};
use mcpc_config::{KIND_KEYWORD, PLACEHOLDER};
use mcpc_golden_tests::{Case, Compiled, Finding, assert_none, mutants};
use serde_json::{Map, Value, json};

/// Enough to meet every keyword of the schema at every type of value.
const MUTANTS_MAX: usize = 8_000;

/// More than there are of any case: each place of a valid text gets a placeholder.
const MUTANTS_OF_VALID_MAX: usize = 50_000;

/// What a variable may hold, so that it fits somewhere.
const VALUES: [&str; 14] = [
    "1",
    "true",
    "x",
    "/x",
    "x_",
    "auto",
    "shared",
    "lazy",
    "sticky",
    "1s",
    "1MiB",
    "20%",
    "127.0.0.1:9000",
    "http://10.9.9.9/x",
];

/// The schema without placeholders, and validators of that one and of the published one.
struct Oracle {
    document: Value,
    /// What the walk judges: it sees no placeholder that was expanded.
    validator: Validator,
    /// What editors judge by.
    published: Validator,
}

impl Oracle {
    fn new() -> Self {
        let mut document: Value =
            serde_json::from_str(mcpc_config::schema_text()).expect("our schema is JSON");
        let published = jsonschema::validator_for(&document).expect("our schema is one");
        forget_placeholders(&mut document);
        let validator = jsonschema::validator_for(&document).expect("it still is one");
        Self {
            document,
            validator,
            published,
        }
    }

    /// Whether an error is about the inside of a text with a kind: the walk leaves that to `decode`.
    fn is_of_decode(&self, error: &ValidationError<'_>) -> bool {
        let place = error.schema_path().as_str().rsplit_once('/');
        let schema = place.and_then(|(above, _)| self.document.pointer(above));
        let has_kind = schema.is_some_and(|schema| schema.get(KIND_KEYWORD).is_some());
        has_kind && matches!(error.kind(), ValidationErrorKind::Pattern { .. })
    }
}

/// Takes the placeholders out of a schema: a number is a number, a choice is one of the choices.
fn forget_placeholders(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return schema
            .as_array_mut()
            .into_iter()
            .flatten()
            .for_each(forget_placeholders);
    };
    object.values_mut().for_each(forget_placeholders);
    if let Some(kind) = object.get("type").and_then(|kinds| kinds.get(0)).cloned() {
        object.insert("type".to_owned(), kind);
        object.remove("pattern");
    }
    let placeholder = format!("|{PLACEHOLDER}");
    if let Some(Value::String(pattern)) = object.get_mut("pattern")
        && let Some(own) = pattern.strip_suffix(&placeholder)
    {
        *pattern = own.to_owned();
    }
    if let Some(Value::Array(branches)) = object.remove("anyOf") {
        let choice = branches.into_iter().next();
        let choice: Option<Map<String, Value>> = choice.and_then(|it| it.as_object().cloned());
        object.extend(choice.into_iter().flatten());
    }
}

/// What became of one text.
enum Outcome {
    /// It is no text that is read at all.
    Unread,
    /// Both accept it, or both refuse it.
    Agreed { is_accepted: bool },
    /// They differ.
    Differed(String),
}

fn compare(oracle: &Oracle, text: &str) -> Outcome {
    let source = Source::new("mcpc.yaml", text);
    let Some((json, is_accepted)) = shape_verdict(&source) else {
        return Outcome::Unread;
    };
    let errors: Vec<_> = oracle.validator.iter_errors(&json).collect();
    let (inner, outer): (Vec<_>, Vec<_>) =
        errors.iter().partition(|error| oracle.is_of_decode(error));
    if outer.is_empty() != is_accepted {
        let verdict = if is_accepted { "accepts" } else { "refuses" };
        let first = outer.first().map(ToString::to_string);
        return Outcome::Differed(format!("only the walk {verdict}: {first:?}\n{text}"));
    }
    // Whatever the walk takes, editors take. Without a placeholder it is the other way round as well.
    let is_published = oracle.published.is_valid(&json);
    let is_wider = is_published && !errors.is_empty();
    if (errors.is_empty() && !is_published) || (is_wider && !text.contains('$')) {
        return Outcome::Differed(format!("published otherwise: {is_published}\n{text}"));
    }
    // The value of a placeholder is not known to the validator.
    if is_accepted && !inner.is_empty() && !text.contains('$') {
        let compiled = Compiled::of("mcpc.yaml", text.as_bytes().to_vec(), None);
        if !compiled.has_errors() {
            return Outcome::Differed(format!("only the validator refuses: {inner:?}\n{text}"));
        }
    }
    Outcome::Agreed { is_accepted }
}

#[test]
fn the_walk_accepts_exactly_what_the_schema_accepts() {
    let oracle = Oracle::new();
    let cases = Case::all();
    let (mut accepted, mut refused, mut findings) = (0, 0, Vec::new());
    for case in &cases {
        let Some(text) = small_text(case) else {
            continue;
        };
        let mut texts = mutants(&text, MUTANTS_MAX / cases.len());
        texts.push(text);
        for text in texts {
            match compare(&oracle, &text) {
                Outcome::Unread => {}
                Outcome::Agreed { is_accepted: true } => accepted += 1,
                Outcome::Agreed { is_accepted: false } => refused += 1,
                Outcome::Differed(fact) => findings.push(Finding::new(&case.name, fact)),
            }
        }
    }
    findings.truncate(10);
    assert_none(&findings);
    assert!(
        accepted > 1000 && refused > 1000,
        "{accepted} accepted, {refused} refused"
    );
}

/// The text of a case. One of megabytes is about limits, and each of its mutants as well.
fn small_text(case: &Case) -> Option<String> {
    let text = String::from_utf8(case.bytes()).ok()?;
    (text.len() < 64 << 10).then_some(text)
}

/// Whether a text makes a plan if the variable `X` holds one of the values.
fn may_compile(case: &Case, text: &str) -> bool {
    let bytes = || text.as_bytes().to_vec();
    // What is wrong whatever the variables hold need not be tried with each value.
    if Compiled::of("mcpc.yaml", bytes(), None).has_errors() {
        return false;
    }
    VALUES.iter().any(|value| {
        let mut values = case.values().unwrap_or_default();
        values.set("X", value);
        !Compiled::of("mcpc.yaml", bytes(), Some(&values)).has_errors()
    })
}

#[test]
fn no_editor_underlines_a_placeholder_that_compiles() {
    let oracle = Oracle::new();
    let (mut taken, mut refused, mut findings) = (0, 0, Vec::new());
    for case in Case::all() {
        let Some(text) = small_text(&case).filter(|_| case.name.starts_with("valid/")) else {
            continue;
        };
        let mut texts = mutants(&text, MUTANTS_OF_VALID_MAX);
        texts.retain(|text| text.contains("$<X>"));
        texts.push(text);
        for text in texts {
            let source = Source::new("mcpc.yaml", text.as_str());
            let Some((json, _)) = shape_verdict(&source) else {
                continue;
            };
            if oracle.published.is_valid(&json) {
                taken += 1;
            } else if may_compile(&case, &text) {
                let first = oracle.published.iter_errors(&json).next();
                let first = first.map(|error| error.to_string());
                findings.push(Finding::new(&case.name, format!("{first:?}\n{text}")));
            } else {
                refused += 1;
            }
        }
    }
    findings.truncate(10);
    assert_none(&findings);
    assert!(
        taken > 300 && refused > 100,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn a_placeholder_may_stand_in_every_typed_text() {
    let document = json!({
        "version": 1,
        "listen": { "address": "$<LISTEN:-127.0.0.1:8080>", "hosts": ["${HOST}"] },
        "servers": {
            "web": {
                "url": "$<SCHEME>://example.com/${PATH:-mcp}",
                "timeouts": { "total": "$<SECONDS>s" },
                "tools": { "allow": ["$<TOOLS>"] },
                "retry": { "attempts": 2, "budget": "${SHARE}%" },
            },
        },
        "limits": { "body": "$<BODY>", "requests": [{ "per": "session", "rate": "$<RATE>" }] },
    });
    let found = Oracle::new();
    let found = found.published.iter_errors(&document);
    let found: Vec<String> = found.map(|error| error.to_string()).collect();
    assert!(found.is_empty(), "{found:?}");
}
