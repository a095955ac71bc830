//! The lines of a source that findings can show.
//!
//! Owns no more than that: which lines are cut out and how they are drawn is the renderers' choice, and
//! never goes beyond these.

use crate::diagnostic::Diagnostic;
use crate::render::LINES_APART_MAX;
use crate::source::{Source, Span};

/// Ranges of lines. Invariant: in order, and no two touch.
pub(super) struct Shown {
    /// The first and the last line of each.
    lines: Vec<(usize, usize)>,
    /// The bytes of each.
    bytes: Vec<Span>,
}

impl Shown {
    /// The line of every label, and what lies between two of one finding.
    pub(super) fn of(source: &Source, found: &[Diagnostic]) -> Self {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for diagnostic in found {
            let labels = std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary);
            let labelled = labels.map(|label| source.line_of(label.span.start));
            let mut labelled: Vec<usize> = labelled.collect();
            labelled.sort_unstable();
            ranges.extend(labelled.iter().map(|line| (*line, *line)));
            let pairs = labelled.iter().zip(labelled.iter().skip(1));
            let pairs = pairs.filter(|(one, next)| *next - *one <= LINES_APART_MAX);
            ranges.extend(pairs.map(|(one, next)| (*one, *next)));
        }
        ranges.sort_unstable();
        ranges.dedup_by(|next, first| {
            let touches = next.0 <= first.1 + 1;
            if touches {
                first.1 = first.1.max(next.1);
            }
            touches
        });
        let bytes = ranges.iter();
        let bytes = bytes
            .map(|(first, last)| Span::new(source.line(*first).start, source.line(*last).end))
            .collect();
        Self {
            lines: ranges,
            bytes,
        }
    }

    /// Every line, by its number.
    pub(super) fn lines(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The last line of all, 0 if there is none.
    pub(super) fn last(&self) -> usize {
        self.lines.last().map_or(0, |(_, last)| *last)
    }

    /// Whether a line is among them.
    pub(super) fn holds(&self, line: usize) -> bool {
        let after = self.lines.partition_point(|(_, last)| *last < line);
        let range = self.lines.get(after);
        range.is_some_and(|(first, _)| *first <= line)
    }

    /// Whether any byte of a span is on them.
    pub(super) fn touches(&self, span: Span) -> bool {
        let after = self.bytes.partition_point(|bytes| bytes.end < span.start);
        let range = self.bytes.get(after);
        range.is_some_and(|bytes| bytes.start < span.end)
    }
}
