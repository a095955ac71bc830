//! A secret value: it cannot be printed, compared or serialized, only put on the wire.
//!
//! Owns the type and the resolving of the plan's templates. The values come through
//! [`Reach`](crate::Reach); what a missing one means for a plan is decided by `prepare`.

use std::fmt;

use mcpc_plan::{Part, Source, Template};

use crate::Reach;

/// A resolved secret.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a value.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value, for the wire or a child's environment only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// A source that has no value. Names the source, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Where the value should have come from.
    pub(crate) source: Source,
    /// What the author of the configuration wants the operator to read.
    pub(crate) message: Option<Box<str>>,
}

/// A template with the values of its sources.
pub(crate) struct Filled {
    pub(crate) value: Secret,
    /// What of it is in no plan: the values of sources, and the whole with them.
    pub(crate) secrets: Vec<Secret>,
}

/// Puts the values of its sources into a template.
pub(crate) fn resolve(template: &Template, reach: &dyn Reach) -> Result<Filled, Missing> {
    let mut text = String::new();
    let mut secrets = Vec::new();
    for part in &template.0 {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Reference {
                source,
                default,
                message,
            } => {
                // An empty value counts as none where the author said what to do without one,
                // as `:-` and `:?` do in a shell.
                let is_guarded = default.is_some() || message.is_some();
                let value = lookup(source, reach)
                    .filter(|value| !(is_guarded && value.expose().is_empty()));
                match (value, default) {
                    (Some(value), _) => {
                        text.push_str(value.expose());
                        secrets.push(value);
                    }
                    (None, Some(default)) => text.push_str(default),
                    (None, None) => {
                        return Err(Missing {
                            source: source.clone(),
                            message: message.clone(),
                        });
                    }
                }
            }
        }
    }
    let value = Secret::new(text);
    if !secrets.is_empty() && template.0.len() > 1 {
        secrets.push(value.clone());
    }
    Ok(Filled { value, secrets })
}

fn lookup(source: &Source, reach: &dyn Reach) -> Option<Secret> {
    match source {
        Source::Variable(name) => reach.variable(name),
        Source::File(path) => reach.file(path).ok(),
    }
}
