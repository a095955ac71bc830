//! Where a text may hold a secret, so that nothing that is said about the text repeats one.
//!
//! Owns the judgement, by these rules. Hidden is
//! 1. the value of a secret field, and a value under an unknown key that announces one (`fields`);
//! 2. what follows such a word elsewhere, as in `--token x`, `api_key=x`, `Bearer x` (`words`), also in
//!    a comment and in a text that cannot be read, there over as many lines as it takes (`lines`);
//! 3. a credential that is known by how it begins, wherever it stands (`tokens`).
//!
//! The renderers mask these places in lines of the source; `messages` keeps them out of what is said.

mod fields;
mod lines;
mod messages;
mod shown;
mod tokens;
mod words;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span};

pub(crate) use fields::Fields;
pub(crate) use messages::keep_silent;
pub(crate) use tokens::tokens;

use lines::Reading;
use shown::Shown;

/// No more of a line is shown after a label.
const SHOWN_CHARS_MAX: usize = 400;

/// The places to hide, in order and apart from each other. `fields` is what the tree tells, if the text
/// could be read. Of what no tree knows, only places on lines that findings show are looked for.
pub(crate) fn places(source: &Source, fields: Option<&Fields>, found: &[Diagnostic]) -> Vec<Span> {
    let shown = Shown::of(source, found);
    let mut hidden = match fields {
        Some(fields) => {
            let mut hidden = fields.places.clone();
            let texts = fields.texts.iter();
            let texts = texts.filter(|text| shown.touches(**text));
            hidden.extend(texts.filter_map(|text| after_word(source, *text)));
            hidden.extend(lines::hidden(source, &shown, Reading::Comments));
            hidden
        }
        None => lines::hidden(source, &shown, Reading::Everything),
    };
    hidden = apart(hidden);
    let twins = found.iter();
    let twins = twins.filter(|found| found.code == codes::DUPLICATE_KEY);
    let twins: Vec<Span> = twins
        .flat_map(|twin| of_twin(source, twin, &hidden))
        .collect();
    hidden.extend(twins);
    // What was found to be a credential may stand where no secret is expected.
    let literal = found
        .iter()
        .filter(|found| found.code == codes::LITERAL_CREDENTIAL);
    hidden.extend(literal.map(|found| found.primary.span));
    for number in shown.lines() {
        let line = source.line(number);
        let found = tokens(source.slice(line)).into_iter();
        hidden.extend(found.map(|at| Span::new(line.start + at.start, line.start + at.end)));
    }
    apart(hidden)
}

/// What is hidden of a key that was given before, for the tree holds the first one only: the key if that
/// is a secret there, and a map on its line.
fn of_twin(source: &Source, twin: &Diagnostic, hidden: &[Span]) -> impl Iterator<Item = Span> {
    let key = twin.primary.span;
    let is_hidden = |first: Span| {
        let after = hidden.partition_point(|span| span.end <= first.start);
        hidden.get(after).is_some_and(|span| span.start < first.end)
    };
    let is_secret = twin.secondary.iter().any(|label| is_hidden(label.span));
    let line = source.line(source.line_of(key.start));
    let rest = Span::new(key.end, line.end.max(key.end));
    let mut window = source.slice(rest).char_indices().take(SHOWN_CHARS_MAX);
    let map = window.find(|(_, character)| *character == '{');
    let map = map.filter(|(at, _)| !is_empty_map(source, rest.start + at, rest.end));
    let map = map.map(|(at, _)| Span::new(rest.start + at, rest.end));
    is_secret.then_some(key).into_iter().chain(map)
}

fn is_empty_map(source: &Source, start: usize, end: usize) -> bool {
    let text = source.slice(Span::new(start, end));
    let inside = text.strip_prefix('{').unwrap_or(text);
    inside.trim_start().starts_with('}')
}

/// What is hidden of one value.
fn after_word(source: &Source, text: Span) -> Option<Span> {
    let at = words::announced(source.slice(text))?;
    Some(Span::new(text.start + at, text.end))
}

/// The same places in order, and joined where they overlap.
fn apart(mut hidden: Vec<Span>) -> Vec<Span> {
    hidden.sort_unstable();
    hidden.dedup_by(|next, first| {
        let overlaps = next.start < first.end || next.start == first.start;
        if overlaps {
            first.end = first.end.max(next.end);
        }
        overlaps
    });
    hidden
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::{Color, Format, Input, NoVariables, Overrides, Report, Tier, check, render};

    #[test]
    fn no_finding_shows_a_secret_whatever_is_wrong() {
        for text in [
            "version: 1\nservers: { a: { url: http://h, headers: { A: hunter2 }, x: 1 } }\n",
            "version: 1\nservers: { a: { url: http://h, headrs: { A: hunter2 } } }\n",
            "version: 1\nservers: { a: { url: http://h, headers: [hunter2, { b: hunter2 }] } }\n",
            "version: 1\nservers: { a: { url: http://h, headers: { A: { hunter2: 1 } } } }\n",
            "version: 1\nservers: { a: { command: x, env: { A: { b: [{ hunter2: }] } } } }\n",
            "version: 1\nservers: { a: { command: x, url: y, headers: { A: hunter2 } } }\n",
            "version: 1\nservers: { a: { url: \"http://u:hunter2@h/\" } }\n",
            "version: 1\nx-h: &h { A: hunter2, B: 1 }\nservers: { a: { url: http://h, headers: *h } }\n",
            "version: 1\nservers: { a: { url: http://h, headers: { Authorization: \"Bearer hunter2 } } }\n",
            "version: 1\nservers: { a: { command: x, env: { API_TOKEN: hunter2 }, , } }\n",
            "identity: { api_keys: [{ name: ci, sha256: hunter2, key: hunter2 }] }\n",
            "identity: { api_keys: hunter2 }\n",
            "servers: { a: { url: http://h, headers: { A: { hunter2: 1, hunter2: 2 } } } }\n",
            "servers: { a: { url: http://h, headers: { A: { \"`hunter2`\": 1, \"`hunter2`\": 2 } } } }\n",
            "servers: { a: { command: x }, a: { env: { A: { hunter2: 1 } } } }\n",
            "servers:\n  a:\n    command: x\n    env:\n    A: hunter2\n    B: hunter2\n",
            "servers:\n  a:\n    command: x\n    env:\n    A: x\n    B: [ hunter2\n",
            "servers: { a: { command: x, env: { \"TOKEN=hunter2\": y } } }\n",
            "servers: { a: { command: [ # password hunter2: old\n",
            "servers:\n  a:\n    cwd: x\n    # headers:\n    #   A: hunter2\n    cwd: y\n",
        ] {
            let source = Source::from_bytes("t", text.into()).unwrap();
            let input = Input {
                source: &source,
                variables: &NoVariables,
                tier: Tier::Check,
                overrides: Overrides::default(),
            };
            let findings = check(&input);
            assert!(!findings.diagnostics.is_empty(), "{text}");
            let report = Report {
                source: &source,
                diagnostics: &findings.diagnostics,
                secrets: &findings.secrets,
            };
            for format in [Format::Human, Format::Json, Format::Sarif] {
                let shown = render(&[report], format, Color::Off);
                assert!(!shown.contains("hunter"), "{shown}");
            }
        }
    }
}
