//! One configuration, compiled: what came out, and the text that people would see.
//!
//! The only file of the harness that calls the compiler's entry points and its renderers.

use std::collections::BTreeMap;

use mcpc_compiler::{
    Answer, Color, Diagnostic, Findings, Format, Input, Outcome, Overrides, Report, Severity,
    Source, Span, Tier, Variables, check, check_answers, compile, render,
};
use mcpc_plan::Plan;

use crate::markers::Marker;

/// What the compiler reports when the schema and the types disagree, which nothing may bring about.
const NOT_DECODED: &str = "MCPC4009";

/// Variables by name. Their presence, even if there are none, means that a plan is wanted.
#[derive(Clone, Debug, Default)]
pub struct Values {
    values: BTreeMap<String, String>,
    /// Whether secrets have to have values as well.
    with_secrets: bool,
}

impl Values {
    /// Reads `NAME=value` lines; blank lines and lines that start with `#` do not count, but for
    /// `#! with secrets`. A file that can be read is named `file:PATH`.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('='));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            with_secrets: text.lines().any(|line| line == "#! with secrets"),
            ..pairs.collect()
        }
    }

    /// Whether a variable is set.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }
}

impl FromIterator<(String, String)> for Values {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self {
            values: pairs.into_iter().collect(),
            with_secrets: false,
        }
    }
}

impl Variables for Values {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    fn has_file(&self, path: &str) -> bool {
        self.has(&format!("file:{path}"))
    }
}

/// What came out of one text.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The text, as far as it is one.
    pub source: Source,
    /// The plan, if there was no error.
    pub plan: Option<Plan>,
    /// The findings.
    pub diagnostics: Vec<Diagnostic>,
    /// Where the text may hold a secret.
    pub secrets: Vec<Span>,
}

impl Compiled {
    /// Compiles bytes under a name: to a plan if values are at hand, otherwise as `check` does.
    pub fn of(name: &str, bytes: Vec<u8>, values: Option<&Values>) -> Self {
        let source = match Source::from_bytes(name, bytes) {
            Ok(source) => source,
            Err(rejected) => {
                let findings = Findings::of_rejected(&rejected);
                return Self {
                    source: rejected.source,
                    plan: None,
                    diagnostics: findings.diagnostics,
                    secrets: findings.secrets,
                };
            }
        };
        let Outcome { plan, findings } = with_input(&source, values, compile);
        Self {
            source,
            plan,
            diagnostics: findings.diagnostics,
            secrets: findings.secrets,
        }
    }

    /// The same when its servers have been asked. There is no plan beside an error of theirs either.
    pub(crate) fn answered(self, values: Option<&Values>, answers: &[Answer]) -> Self {
        let findings = with_input(&self.source, values, |input| check_answers(input, answers));
        let answered = Self {
            diagnostics: findings.diagnostics,
            secrets: findings.secrets,
            ..self
        };
        let plan = answered.plan.clone().filter(|_| !answered.has_errors());
        Self { plan, ..answered }
    }

    /// What is found in bytes when no plan is asked for.
    pub fn findings(name: &str, bytes: Vec<u8>, values: Option<&Values>) -> Vec<Diagnostic> {
        match Source::from_bytes(name, bytes) {
            Ok(source) => with_input(&source, values, check).diagnostics,
            Err(rejected) => Findings::of_rejected(&rejected).diagnostics,
        }
    }

    /// What `mcpc check` prints for people, without colour.
    pub fn rendered(&self) -> String {
        self.rendered_as(Format::Human)
    }

    /// What `mcpc check` prints in a format, without colour.
    pub fn rendered_as(&self, format: Format) -> String {
        let report = Report {
            source: &self.source,
            diagnostics: &self.diagnostics,
            secrets: &self.secrets,
        };
        render(&[report], format, Color::Off)
    }

    /// The plan, for reviewers: indented, with a final line break.
    pub fn plan_text(&self) -> Option<String> {
        let plan = self.plan.as_ref()?;
        let text = serde_json::to_string_pretty(plan).expect("a plan is JSON");
        Some(text + "\n")
    }

    /// The canonical bytes of the plan.
    pub fn plan_bytes(&self) -> Option<Vec<u8>> {
        let plan = self.plan.as_ref()?;
        Some(plan.to_bytes().expect("a plan has canonical bytes"))
    }

    /// Where the findings are, in the form of the markers that expect them.
    pub fn found(&self) -> Vec<Marker> {
        let mut found: Vec<Marker> = self
            .diagnostics
            .iter()
            .map(|diagnostic| Marker {
                line: self.source.place(diagnostic.primary.span.start).line,
                code: diagnostic.code.to_string(),
            })
            .collect();
        found.sort();
        found
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        let mut severities = self.diagnostics.iter().map(|finding| finding.severity);
        severities.any(|severity| severity == Severity::Error)
    }

    /// What must hold for any text at all; the facts that do not.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut facts = Vec::new();
        if self.plan.is_some() && self.has_errors() {
            facts.push("there is a plan and an error".to_owned());
        }
        if self.plan.is_none() && !self.has_errors() && !self.waits_for_variables() {
            facts.push("there is no plan and no error".to_owned());
        }
        if self.found().iter().any(|marker| marker.code == NOT_DECODED) {
            facts.push(format!(
                "the schema takes what the types refuse ({NOT_DECODED})"
            ));
        }
        if let Some(error) = self.plan.as_ref().and_then(|plan| plan.verify().err()) {
            facts.push(format!("the plan does not verify: {error}"));
        }
        for diagnostic in &self.diagnostics {
            for span in spans(diagnostic).filter(|span| !self.is_inside(*span)) {
                let code = diagnostic.code;
                facts.push(format!(
                    "{code} points at {span:?}, outside the text or inside a character"
                ));
            }
        }
        facts
    }

    /// `check` gives no plan and no error if all that it misses is the value of a variable.
    fn waits_for_variables(&self) -> bool {
        let mut codes = self.diagnostics.iter().map(|finding| finding.code.0 / 1000);
        codes.any(|pass| pass == 2)
    }

    fn is_inside(&self, span: Span) -> bool {
        let text = self.source.text();
        span.start <= span.end
            && text.is_char_boundary(span.start)
            && text.is_char_boundary(span.end)
    }
}

fn with_input<T>(
    source: &Source,
    values: Option<&Values>,
    entry_point: impl FnOnce(&Input<'_>) -> T,
) -> T {
    let none = Values::default();
    entry_point(&Input {
        source,
        variables: values.unwrap_or(&none),
        tier: match values {
            None => Tier::Check,
            Some(values) if values.with_secrets => Tier::Environment,
            Some(_) => Tier::Plan,
        },
        overrides: Overrides::default(),
    })
}

fn spans(diagnostic: &Diagnostic) -> impl Iterator<Item = Span> {
    let secondary = diagnostic.secondary.iter().map(|label| label.span);
    let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits);
    std::iter::once(diagnostic.primary.span)
        .chain(secondary)
        .chain(edits.map(|(span, _)| *span))
}
