//! Says in our words what the YAML reader stumbled over.
//!
//! Owns the texts of syntax errors, and tells apart those with codes of their own: tabs, depth,
//! directives and unknown aliases. Does not read anything itself: `parse` does.

use granit_parser::{ErrorKind, ScanError};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span};

/// The finding for an error of the reader in one file.
pub(crate) fn explain(source: &Source, file: Span, error: &ScanError) -> Box<Diagnostic> {
    let at = file.start + error.marker().byte_offset().unwrap_or_default();
    let span = token(source, at);
    Box::new(match error.kind() {
        kind if is_tab(kind) || in_tab_indentation(source, at) => tab(source, file, at),
        ErrorKind::RecursionLimitExceeded => Diagnostic::error(
            codes::TOO_DEEP,
            "lists and maps lie more than 64 levels deep",
            span,
            "this is level 65",
        ),
        ErrorKind::DirectiveDisallowed
        | ErrorKind::MissingDocumentEndBeforeDirective
        | ErrorKind::InvalidDirectiveName => Diagnostic::error(
            codes::DIRECTIVE,
            "a YAML directive is not supported",
            span,
            "directives start with `%`",
        )
        .help("remove the line; the text is read as YAML 1.2"),
        ErrorKind::UnknownAnchor => unknown_anchor(source, span),
        kind => {
            let (label, help) = words(kind);
            let diagnostic =
                Diagnostic::error(codes::SYNTAX, "the text is not valid YAML", span, label);
            match help {
                "" => diagnostic,
                help => diagnostic.help(help),
            }
        }
    })
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
    )
}

/// Whether the line of an error is indented with a tab; then that is the cause, whatever the
/// reader made of it.
fn in_tab_indentation(source: &Source, at: usize) -> bool {
    let (start, line) = line_of(source, at);
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    line.get(..indent).is_some_and(|blank| blank.contains('\t')) && at <= start + indent + 1
}

fn tab(source: &Source, file: Span, at: usize) -> Diagnostic {
    let (start, line) = line_of(source, at);
    let before = source.slice(Span::new(file.start, at));
    let tab = line
        .find('\t')
        .map(|offset| start + offset)
        .or_else(|| before.rfind('\t').map(|offset| file.start + offset));
    let span = tab.map_or_else(|| token(source, at), |tab| Span::new(tab, tab + 1));
    Diagnostic::error(
        codes::TAB,
        "a tab is used where YAML wants spaces",
        span,
        "this is a tab",
    )
    .help("indent with spaces, two for each level")
}

fn unknown_anchor(source: &Source, span: Span) -> Diagnostic {
    let name = crate::diagnostic::plain_text(source.slice(span).trim_start_matches('*'));
    Diagnostic::error(
        codes::UNKNOWN_ALIAS,
        format!("no anchor has the name `{name}`"),
        span,
        "this alias has no anchor before it",
    )
    .help("an alias `*name` needs an anchor `&name` earlier in the text; put quotes around a text that starts with `*`")
}

/// What the reader stumbled over and what to do, in words.
fn words(kind: &ErrorKind) -> (&'static str, &'static str) {
    const QUOTE: &str = "put quotes around a text that has special characters in it";
    match kind {
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnclosedFlowCollection { .. } => {
            ("a `[` or `{` is not closed", "close it with `]` or `}`")
        }
        ErrorKind::UnclosedQuotedScalar => ("this quote is not closed", "close the quote"),
        ErrorKind::MismatchedFlowCollectionEnd { .. } | ErrorKind::MisplacedFlowCollectionEnd => (
            "this bracket closes nothing",
            "match each `[` with `]` and each `{` with `}`",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => ("expected `,` or `]` here", QUOTE),
        ErrorKind::ExpectedFlowMappingSeparator => ("expected `,` or `}` here", QUOTE),
        ErrorKind::SimpleKeyExpected => (
            "expected `:` after this key",
            "write `key: value`, with a space after the colon",
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a `:` is not allowed here",
            "put quotes around a text that contains `: `, or check the indentation",
        ),
        ErrorKind::MappingKeyNotAllowed
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation => (
            "the indentation does not fit what is above",
            "keys of one map start in the same column",
        ),
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::ExpectedBlockSequenceEntry => (
            "a list item `- ` is not allowed here",
            "items of one list start in the same column",
        ),
        ErrorKind::UnexpectedCharacter { .. } => {
            ("a value cannot start with this character", QUOTE)
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => (
            "this escape does not exist",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        ErrorKind::CommentNotSeparated => ("a comment needs a space before `#`", QUOTE),
        ErrorKind::UndeclaredTagHandle => ("this tag is not known", "remove the tag"),
        _ => (
            "the reader cannot go on from here",
            "look above for a quote or a bracket that is not closed, and at the indentation",
        ),
    }
}

fn line_of(source: &Source, at: usize) -> (usize, &str) {
    let text = source.text();
    let start = text
        .get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    let line = text.get(start..).unwrap_or_default();
    (start, line.split('\n').next().unwrap_or_default())
}

/// The characters from a place to the next blank, at most 40 bytes of one line.
fn token(source: &Source, at: usize) -> Span {
    let rest = source.text().get(at..).unwrap_or_default();
    let length: usize = rest
        .chars()
        .take_while(|character| !character.is_whitespace() && !matches!(character, ',' | ']' | '}'))
        .take(40)
        .map(char::len_utf8)
        .sum();
    let first = rest.chars().next().filter(|first| *first != '\n');
    let length = length.max(first.map_or(0, char::len_utf8));
    Span::new(at, at + length)
}
