//! The lines of a source that labels point at, cut to what a screen can hold.
//!
//! Owns the choice of lines, the cutting of long ones and the masking of secrets. A label that
//! spans several lines is drawn on its first. Does not draw: `human` does.

use std::ops::Range;

use crate::diagnostic::Label;
use crate::placeholder::{Kind, pieces};
use crate::source::{Source, Span};

/// Longer lines are cut.
const LINE_CHARS_MAX: usize = 400;
/// What is kept of a long line before the label.
const CHARS_BEFORE_LABEL: usize = 100;
/// Labels further apart than this get excerpts of their own.
pub(crate) const LINES_APART_MAX: usize = 100;

/// Some lines of a source, with the labels on them.
pub(crate) struct Excerpt<'a> {
    /// The lines.
    pub(crate) text: String,
    /// The number of the first line in its file.
    pub(crate) first_line: usize,
    /// Whether a line does not start where it starts in the source.
    pub(crate) is_cut: bool,
    /// Where each label is in `text`; the flag tells the primary one.
    pub(crate) labels: Vec<(Range<usize>, &'a Label, bool)>,
}

/// The excerpts for the labels of one finding, each from one file; the one with the primary label
/// comes first.
pub(crate) fn excerpts<'a>(
    source: &Source,
    secrets: &[Span],
    primary: &'a Label,
    secondary: &'a [Label],
) -> Vec<Excerpt<'a>> {
    let mut labels: Vec<(usize, &Label, bool)> = secondary
        .iter()
        .map(|label| (label, false))
        .chain([(primary, true)])
        .map(|(label, is_primary)| (source.line_of(label.span.start), label, is_primary))
        .collect();
    labels.sort_by_key(|(line, label, is_primary)| (*line, label.span, *is_primary));
    let mut groups: Vec<Vec<(usize, &Label, bool)>> = Vec::new();
    for label in labels {
        match groups.last_mut() {
            Some(group)
                if group.last().is_some_and(|last| {
                    label.0 - last.0 <= LINES_APART_MAX
                        && source.file_start(label.1.span.start)
                            == source.file_start(last.1.span.start)
                }) =>
            {
                group.push(label);
            }
            _ => groups.push(vec![label]),
        }
    }
    let mut excerpts: Vec<Excerpt<'_>> = groups
        .iter()
        .map(|group| excerpt(source, secrets, group))
        .collect();
    excerpts.sort_by_key(|excerpt| !excerpt.labels.iter().any(|(.., is_primary)| *is_primary));
    excerpts
}

fn excerpt<'a>(
    source: &Source,
    secrets: &[Span],
    labels: &[(usize, &'a Label, bool)],
) -> Excerpt<'a> {
    let first_line = labels.first().map_or(1, |(line, ..)| *line);
    let last_line = labels.last().map_or(first_line, |(line, ..)| *line);
    let mut text = String::new();
    let mut placed = Vec::new();
    let mut is_cut = false;
    for line in first_line..=last_line {
        let whole = source.line(line);
        let here = labels.iter().filter(|(at, ..)| *at == line);
        let first = here.clone().map(|(_, label, _)| label.span.start).min();
        let shown = shorten(source, whole, first.unwrap_or(whole.start));
        is_cut |= shown.start > whole.start;
        let base = text.len();
        for (_, label, is_primary) in here {
            let clip = |byte: usize| base + byte.clamp(shown.start, shown.end) - shown.start;
            placed.push((
                clip(label.span.start)..clip(label.span.end),
                *label,
                *is_primary,
            ));
        }
        text.push_str(&masked(source, secrets, shown));
        text.push('\n');
    }
    Excerpt {
        text,
        first_line: source.place(source.line(first_line).start).line,
        is_cut,
        labels: placed,
    }
}

/// The part of a line that is shown: all of it, or a window around the first label.
fn shorten(source: &Source, line: Span, label: usize) -> Span {
    let text = source.slice(line);
    if text.len() <= LINE_CHARS_MAX {
        return line;
    }
    let before = source.slice(Span::new(line.start, label.clamp(line.start, line.end)));
    let start = match before.char_indices().rev().nth(CHARS_BEFORE_LABEL - 1) {
        Some((at, _)) => line.start + at,
        None => line.start,
    };
    let rest = source.slice(Span::new(start, line.end));
    let end = match rest.char_indices().nth(LINE_CHARS_MAX) {
        Some((at, _)) => start + at,
        None => line.end,
    };
    Span::new(start, end)
}

/// The text of a span, with stars for what secrets hold besides placeholders. The length in bytes
/// stays the same, so labels stay in place.
fn masked(source: &Source, secrets: &[Span], shown: Span) -> String {
    let from = secrets.partition_point(|secret| secret.end <= shown.start);
    let mut text = source.slice(shown).to_owned();
    for secret in secrets.get(from..).unwrap_or_default() {
        if secret.start >= shown.end {
            break;
        }
        let written = source.slice(*secret);
        for piece in pieces(written) {
            let keeps = matches!(&piece.kind, Kind::Placeholder(placeholder) if placeholder.default.is_none());
            let start = (secret.start + piece.range.start).max(shown.start);
            let end = (secret.start + piece.range.end).min(shown.end);
            if !keeps && start < end {
                let range = start - shown.start..end - shown.start;
                text.replace_range(range.clone(), &"*".repeat(range.len()));
            }
        }
    }
    text
}
