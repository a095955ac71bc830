//! The compiler's own walk of a configuration against a validator of JSON Schema that others wrote.
//!
//! Owns the proof that the published schema and the `shape` pass say the same, over the whole
//! compile corpus and its mutants. What the compiler says about a mistake is in `golden.rs`.

#![expect(
    clippy::expect_used,
    reason = "a test stops where its own schema is none"
)]

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use mcpc_compiler::{Source, shape_verdict};
use mcpc_config::KIND_KEYWORD;
use mcpc_golden_tests::{Case, Compiled, Finding, assert_none, mutants};
use serde_json::{Value, json};

/// Enough to meet every keyword of the schema at every type of value.
const MUTANTS_MAX: usize = 8_000;

/// The schema, and a validator of it.
struct Oracle {
    document: Value,
    validator: Validator,
}

impl Oracle {
    fn new() -> Self {
        let document =
            serde_json::from_str(mcpc_config::schema_text()).expect("our schema is JSON");
        let validator = jsonschema::validator_for(&document).expect("our schema is one");
        Self {
            document,
            validator,
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
        let bytes = case.bytes();
        // A case of megabytes is about limits, and each of its mutants as well.
        let Some(text) = String::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() < 64 << 10)
        else {
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
    let found = found.validator.iter_errors(&document);
    let found: Vec<String> = found.map(|error| error.to_string()).collect();
    assert!(found.is_empty(), "{found:?}");
}
