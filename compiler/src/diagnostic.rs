//! What the compiler says: a code, a fact, a place, and the fix.
//!
//! A message states the fact in lower case without a full stop; only `help` says what to do; a
//! note says why. No diagnostic ever repeats the value of a secret field.

use std::fmt;

use crate::source::Span;

/// A code such as `MCPC1003`: the first digit is the pass. Codes are never renumbered or reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MCPC{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// No plan comes out.
    Error,
    /// A plan comes out, and somebody should look.
    Warning,
}

/// A place and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What stands there; readable without the message.
    pub text: String,
}

/// Replacement texts that repair the finding, applied together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What to put where; spans do not overlap.
    pub edits: Vec<(Span, String)>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The fact.
    pub message: String,
    /// Where it is.
    pub primary: Label,
    /// What else is involved.
    pub secondary: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
    /// Why it matters, or where a value came from.
    pub notes: Vec<String>,
    /// The repair, if it is certain.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, code, message, span, label)
    }

    /// A warning at a place.
    pub fn warning(
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, code, message, span, label)
    }

    fn new(
        severity: Severity,
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            primary: Label {
                span,
                text: label.into(),
            },
            secondary: Vec::new(),
            help: None,
            notes: Vec::new(),
            fix: None,
        }
    }

    /// Adds another place.
    #[must_use]
    pub fn and(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds a reason.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Offers a certain repair: one replacement.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some(Fix {
            edits: vec![(span, text.into())],
        });
        self
    }
}

/// A name from outside as one line of printable text, cut to 64 characters.
pub(crate) fn plain_text(name: &str) -> String {
    let mut text = String::new();
    for (count, character) in name.chars().enumerate() {
        if count == 64 {
            text.push('…');
            break;
        }
        // Bidirectional controls could make a terminal show another text than the one that is there.
        let bidirectional = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || bidirectional {
            text.extend(character.escape_default());
        } else if character == '`' {
            // It would end the quotes that messages put around a name.
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
    text
}

/// Collects diagnostics over all passes.
#[derive(Debug, Default)]
pub struct Sink {
    found: Vec<Diagnostic>,
}

impl Sink {
    /// Takes a finding.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The findings in source order, each once.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| {
            (a.primary.span, a.severity, a.code, &a.message).cmp(&(
                b.primary.span,
                b.severity,
                b.code,
                &b.message,
            ))
        });
        self.found.dedup_by(|a, b| {
            (a.code, a.primary.span) == (b.code, b.primary.span) && a.message == b.message
        });
        self.found
    }
}
