//! Findings as SARIF 2.1.0 (OASIS standard), for code scanning.
//!
//! Owns the few structures of the standard that are needed. What makes a finding the same finding
//! tomorrow is `fingerprint`'s.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::fingerprint::Fingerprints;
use super::{Report, severity_name, with_help};
use crate::codes::code_entry;
use crate::diagnostic::{Code, Diagnostic, Label};
use crate::source::Source;

/// Writes one run for all texts.
pub(super) fn render(reports: &[Report<'_>]) -> String {
    let mut used: BTreeSet<Code> = BTreeSet::new();
    let mut prints = Fingerprints::default();
    let mut findings: Vec<(&Report<'_>, &Diagnostic)> = Vec::new();
    for report in reports {
        let (written, _) = report.written();
        used.extend(written.iter().map(|diagnostic| diagnostic.code));
        findings.extend(written.into_iter().map(|diagnostic| (report, diagnostic)));
    }
    let rules: Vec<Code> = used.into_iter().collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|(report, diagnostic)| result(report, diagnostic, &rules, &mut prints))
        .collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "mcpc",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

fn rule(code: Code) -> Value {
    let entry = code_entry(code);
    json!({
        "id": code.to_string(),
        "shortDescription": { "text": entry.map_or("", |entry| entry.title) },
        "help": {
            "text": format!("run `mcpc explain {code}`"),
            "markdown": entry.map_or("", |entry| entry.page),
        },
    })
}

fn result(
    report: &Report<'_>,
    diagnostic: &Diagnostic,
    rules: &[Code],
    prints: &mut Fingerprints,
) -> Value {
    let message = with_help(diagnostic);
    let related: Vec<Value> = diagnostic
        .secondary
        .iter()
        .enumerate()
        .map(|(index, label)| {
            let mut place = location(report.source, label);
            if let Some(place) = place.as_object_mut() {
                place.insert("id".to_owned(), json!(index));
                place.insert("message".to_owned(), json!({ "text": label.text }));
            }
            place
        })
        .collect();
    let mut result = json!({
        "ruleId": diagnostic.code.to_string(),
        "ruleIndex": rules.binary_search(&diagnostic.code).unwrap_or_default(),
        "level": severity_name(diagnostic.severity),
        "message": { "text": message },
        "locations": [primary_location(report, diagnostic)],
        "partialFingerprints": { "mcpcFinding/v1": prints.of(report, diagnostic) },
    });
    if let (Some(result), false) = (result.as_object_mut(), related.is_empty()) {
        result.insert("relatedLocations".to_owned(), Value::Array(related));
    }
    result
}

/// A finding about a file as a whole has no region in it.
fn primary_location(report: &Report<'_>, diagnostic: &Diagnostic) -> Value {
    if report.place(diagnostic).is_some() {
        return location(report.source, &diagnostic.primary);
    }
    let uri = uri(report.source.name());
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri } } })
}

fn location(source: &Source, label: &Label) -> Value {
    let (start, end) = (source.place(label.span.start), source.place(label.span.end));
    let file = source.file_name(label.span.start);
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": {
                "startLine": start.line,
                "startColumn": start.column,
                "endLine": end.line,
                "endColumn": end.column,
            },
        },
    })
}

/// A relative reference: what a URI does not allow in a path is encoded.
fn uri(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+@!$&'()*,;=".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
