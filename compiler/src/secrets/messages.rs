//! Keeps secrets out of what findings say.
//!
//! A message may repeat, between back quotes, what stands at its labels, or the keys on the way there.
//! What is hidden of these is taken out. No pass has to know what a secret is.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::tokens::tokens;
use crate::diagnostic::{Diagnostic, Label};
use crate::placeholder::{Kind, pieces};
use crate::source::{Source, Span};

/// What stands for a secret.
const MASK: &str = "***";

/// A shorter word says too little to be known again, and common words are short.
const WORD_BYTES_MIN: usize = 6;

/// Names are cut before they get into a message, so no more of a label can be repeated.
const LABEL_BYTES_MAX: usize = 1000;

/// Words that stand beside secrets and are none.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// What the findings must not say.
struct Unsaid<'a> {
    /// Words at the labels of one finding.
    near: Vec<&'a str>,
    /// Hidden keys, and their parts as paths have them.
    keys: &'a BTreeSet<&'a str>,
}

/// Takes hidden text out of all that findings say, and drops repairs that would repeat it.
pub(crate) fn keep_silent(
    source: &Source,
    hidden: &[Span],
    fields: Option<&Fields>,
    found: &mut [Diagnostic],
) {
    let keys = fields.into_iter().flat_map(|fields| &fields.keys);
    let keys = keys.flat_map(|key| words(key).chain([&**key]));
    let keys: BTreeSet<&str> = keys.filter(|key| key.len() >= WORD_BYTES_MIN).collect();
    for diagnostic in found {
        let labels = std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary);
        let near = labels
            .flat_map(|label| near(source, hidden, label))
            .collect();
        let unsaid = Unsaid { near, keys: &keys };
        let fix = diagnostic.fix.take();
        let repeats = |edit: &(Span, String)| !tokens(&edit.1).is_empty() || unsaid.is_in(&edit.1);
        diagnostic.fix = fix.filter(|fix| !fix.edits.iter().any(repeats));
        let texts = [&mut diagnostic.message, &mut diagnostic.primary.text].into_iter();
        let labels = diagnostic.secondary.iter_mut().map(|label| &mut label.text);
        let rest = diagnostic.help.iter_mut().chain(&mut diagnostic.notes);
        for text in texts.chain(labels).chain(rest) {
            if let Some(silent) = unsaid.taken_out(text) {
                *text = silent;
            }
        }
    }
}

/// The hidden words at a label.
fn near<'a>(source: &'a Source, hidden: &[Span], label: &Label) -> Vec<&'a str> {
    let end = label.span.end.min(label.span.start + LABEL_BYTES_MAX);
    let from = hidden.partition_point(|span| span.end <= label.span.start);
    let spans = hidden.get(from..).unwrap_or_default().iter();
    let spans = spans.take_while(|span| span.start < end);
    let mut found = Vec::new();
    for span in spans {
        let start = span.start.max(label.span.start);
        // A cut inside a character would lose the whole.
        let text = source.text().get(start..span.end.min(end));
        let text = text.unwrap_or_else(|| source.slice(Span::new(start, span.end)));
        let literal = pieces(text).filter_map(|piece| match piece.kind {
            Kind::Placeholder(placeholder) => placeholder.default,
            Kind::Text(_) | Kind::Stray => text.get(piece.range),
            Kind::Fault(_) => None,
        });
        found.extend(literal.flat_map(words));
    }
    found.retain(|word| word.len() >= WORD_BYTES_MIN && !is_scheme(word));
    found
}

fn is_scheme(word: &str) -> bool {
    SCHEMES
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| it.is_whitespace() || "\"'`{}[],:&*!".contains(it))
}

impl Unsaid<'_> {
    /// The text without secrets, if it has any.
    fn taken_out(&self, text: &str) -> Option<String> {
        let mut is_changed = false;
        let parts = text.split('`').enumerate().map(|(at, piece)| {
            let is_quoted = at % 2 == 1;
            if !tokens(piece).is_empty() || (is_quoted && self.is_in(piece)) {
                is_changed = true;
                return MASK;
            }
            piece
        });
        let whole = parts.collect::<Vec<&str>>().join("`");
        is_changed.then_some(whole)
    }

    /// Whether a piece repeats something, whole or cut.
    fn is_in(&self, piece: &str) -> bool {
        let stem = piece.trim_end_matches('…');
        let is_cut = stem.len() < piece.len();
        let near = |word: &&str| piece.contains(*word) || (is_cut && word.starts_with(stem));
        let key = |part: &str| {
            self.keys.contains(part)
                || (is_cut && part.len() >= WORD_BYTES_MIN && self.starts_key(part))
        };
        let parts = || stem.split('.').flat_map(|part| words(part).chain([part]));
        self.near.iter().any(near) || (!self.keys.is_empty() && (key(stem) || parts().any(key)))
    }

    fn starts_key(&self, part: &str) -> bool {
        let next = self.keys.range(part..).next();
        next.is_some_and(|key| key.starts_with(part))
    }
}
