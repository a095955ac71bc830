//! Findings for people: message, lines of the source with labels, help, notes.
//!
//! Does not choose or cut the lines: `excerpt` does.

use std::fmt::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::excerpt::{Excerpt, excerpts};
use super::{Color, FINDINGS_MAX, Report, counted, tally};
use crate::diagnostic::{Diagnostic, Severity};

/// Writes every finding and, if there is any, a closing line with their number.
pub(super) fn render(reports: &[Report<'_>], color: Color) -> String {
    let renderer = match color {
        Color::Off => Renderer::plain(),
        Color::On => Renderer::styled(),
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for report in reports {
        let (written, left_out) = report.written();
        for diagnostic in written {
            text.push_str(&one(report, diagnostic, &renderer));
            text.push_str("\n\n");
        }
        if left_out > 0 {
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "{}: the first {FINDINGS_MAX} findings are shown, {left_out} more are not\n",
                report.source.name()
            );
        }
    }
    let tally = tally(reports);
    let counts = [(tally.errors, "error"), (tally.warnings, "warning")];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| counted(*count, noun))
        .collect();
    if !counts.is_empty() {
        let _ = writeln!(text, "found {}", counts.join(" and "));
    }
    text
}

fn one(report: &Report<'_>, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let source = report.source;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(&diagnostic.message)
        .id(diagnostic.code.to_string())
        .elements(Vec::<Origin<'_>>::new());
    let shown = excerpts(
        source,
        report.secrets,
        &diagnostic.primary,
        &diagnostic.secondary,
    );
    if report.place(diagnostic).is_none() {
        group = group.element(Origin::path(source.name()));
    } else {
        for excerpt in shown {
            group = add(group, report, excerpt);
        }
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note));
    }
    let explain = format!("run `mcpc explain {}`", diagnostic.code);
    group = group.element(Level::NOTE.message(explain));
    renderer.render(&[group])
}

/// Adds the place and the lines. The renderer counts columns inside what it is given, so for a
/// line that was cut the place is given by itself.
fn add<'a>(group: Group<'a>, report: &Report<'a>, excerpt: Excerpt<'a>) -> Group<'a> {
    let first = excerpt.labels.iter().find(|(.., is_primary)| *is_primary);
    let first = first.or_else(|| excerpt.labels.first());
    let start = first.map_or(0, |(_, label, _)| label.span.start);
    let (name, place) = (report.source.file_name(start), report.source.place(start));
    let annotations = excerpt
        .labels
        .into_iter()
        .map(|(range, label, is_primary)| {
            let kind = if is_primary {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            kind.span(range).label(label.text.as_str())
        });
    let snippet = Snippet::source(excerpt.text)
        .line_start(excerpt.first_line)
        .annotations(annotations);
    if excerpt.is_cut {
        let origin = Origin::path(name).line(place.line);
        return group
            .element(origin.char_column(place.column))
            .element(snippet);
    }
    group.element(snippet.path(name))
}
