//! Templates of secrets: literal text and references to where the rest comes from.
//!
//! The plan names sources, never values. The data plane resolves a template when it prepares a plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Transport, Upstream};

/// A text with references. Invariant: at least one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(pub Box<[Part]>);

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    /// Text that stands for itself.
    Text(Box<str>),
    /// A value from elsewhere.
    Reference {
        /// Where the value comes from.
        source: Source,
        /// Used if the source has no value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Box<str>>,
        /// Told to the operator if the source has no value and there is no default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Box<str>>,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The credentials file, then the environment.
    Variable(Box<str>),
    /// The content of a file, without one final line break.
    File(Box<str>),
}

/// A secret that a plan needs, and who gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// Where the value comes from.
    pub source: Source,
    /// Whether the plan can be prepared without it.
    pub required: bool,
    /// The fields that hold it, sorted: `servers.github.headers.authorization`.
    pub consumers: Box<[Box<str>]>,
}

impl SecretUse {
    /// Every source that the templates of the upstreams name, sorted, with the fields that hold it.
    pub fn of(upstreams: &[Upstream]) -> Box<[Self]> {
        let mut found: BTreeMap<&Source, (bool, Vec<Box<str>>)> = BTreeMap::new();
        for upstream in upstreams {
            let (key, fields) = match &upstream.transport {
                Transport::Stdio(stdio) => ("env", vec![&stdio.env]),
                Transport::Http(http) => ("headers", vec![&http.headers]),
                Transport::Replicated(replicated) => {
                    let replicas = replicated.replicas.iter();
                    let fields = replicas.map(|replica| &replica.http.headers);
                    ("headers", fields.collect())
                }
            };
            for (name, Template(parts)) in fields.into_iter().flatten() {
                for part in parts {
                    let Part::Reference {
                        source, default, ..
                    } = part
                    else {
                        continue;
                    };
                    let (required, consumers) = found.entry(source).or_default();
                    *required |= default.is_none();
                    consumers.push(format!("servers.{}.{key}.{name}", upstream.name).into());
                }
            }
        }
        let uses = found.into_iter();
        uses.map(|(source, (required, mut consumers))| {
            consumers.sort_unstable();
            consumers.dedup();
            Self {
                source: source.clone(),
                required,
                consumers: consumers.into(),
            }
        })
        .collect()
    }
}
