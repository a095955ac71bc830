//! An upstream's definition with the values of its secrets.
//!
//! Owns putting them in place while a plan is prepared, and why that may not be possible. Never says a
//! value: neither in an error nor otherwise. Where the values come from is `secret`'s.

use http::{HeaderName, HeaderValue};
use mcpc_plan::Transport;

use crate::secret::{self, Filled, Missing};
use crate::{Reach, Secret};

/// An upstream's definition with its secrets in place.
#[derive(Clone)]
pub(crate) struct Resolved {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) env: Vec<(Box<str>, Secret)>,
    /// What of these is in no plan.
    pub(super) secrets: Vec<Secret>,
}

/// Why a definition cannot be used. Names fields and sources, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// A source has no value.
    Missing {
        /// The header or variable that needs it.
        field: Box<str>,
        /// Which source, and what its author wants to be said.
        missing: Missing,
    },
    /// The value of a header or variable has characters that cannot stand there.
    BadValue {
        /// The header or variable.
        field: Box<str>,
    },
}

impl Unusable {
    /// Replicas are upstreams of their own; nobody can be reached in several ways at once.
    pub(super) fn severally() -> Self {
        Self::BadValue {
            field: "replicas".into(),
        }
    }
}

impl Resolved {
    /// Resolves the secrets of a definition. Part of preparing a plan: nothing is started yet.
    pub(crate) fn of(
        definition: &mcpc_plan::Upstream,
        reach: &dyn Reach,
    ) -> Result<Self, Unusable> {
        let templates = match &definition.transport {
            Transport::Http(http) => &http.headers,
            Transport::Stdio(stdio) => &stdio.env,
            Transport::Replicated(_) => return Err(Unusable::severally()),
        };
        let mut resolved = Self {
            headers: Vec::new(),
            env: Vec::new(),
            secrets: Vec::new(),
        };
        for (field, template) in templates {
            let filled = secret::resolve(template, reach);
            let Filled { value, secrets } = filled.map_err(|missing| Unusable::Missing {
                field: field.clone(),
                missing,
            })?;
            resolved.secrets.extend(secrets);
            let bad = || Unusable::BadValue {
                field: field.clone(),
            };
            match &definition.transport {
                Transport::Http(_) | Transport::Replicated(_) => {
                    let name = HeaderName::try_from(field.as_ref()).map_err(|_| bad())?;
                    let mut value = HeaderValue::from_str(value.expose()).map_err(|_| bad())?;
                    value.set_sensitive(true);
                    resolved.headers.push((name, value));
                }
                Transport::Stdio(_) if value.expose().contains('\0') => return Err(bad()),
                Transport::Stdio(_) => resolved.env.push((field.clone(), value)),
            }
        }
        Ok(resolved)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let pairs = self.env.iter().zip(&other.env);
        self.headers == other.headers
            && self.env.len() == other.env.len()
            && pairs.into_iter().all(|((name, value), (other, new))| {
                name == other && value.expose() == new.expose()
            })
    }
}
