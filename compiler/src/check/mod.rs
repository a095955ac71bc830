//! The pass that judges the configuration as a whole: what cannot be decided, cannot work or is
//! certainly not meant.
//!
//! Owns the 6xxx codes, one file per rule; this file only lists them. A rule reads [`Resolved`]
//! and reports; it changes nothing and knows no other rule. What every rule may cost is about one
//! look-up per name: a configuration with thousands of servers is checked while somebody types.

mod access;
mod announced;
mod bounds;
pub(crate) mod client_names;
mod collisions;
mod command_lines;
mod credentials;
mod filters;
mod headers;
mod listeners;
mod literals;
mod misplaced_secrets;
mod needless;
mod paths;
mod renames;
mod replicas;
mod sharing;
mod timeouts;
mod undecidable;
pub(crate) mod unsupported;
mod unused;

use crate::diagnostic::Sink;
use crate::resolve::Resolved;

pub(crate) use misplaced_secrets::misplaced_secrets;

type Rule = fn(&Resolved<'_>, &mut Sink);

const RULES: [Rule; 19] = [
    access::check,
    bounds::check,
    client_names::check,
    collisions::check,
    command_lines::check,
    credentials::check,
    filters::check,
    headers::check,
    listeners::check,
    literals::check,
    needless::check,
    paths::check,
    renames::check,
    replicas::check,
    sharing::check,
    timeouts::check,
    undecidable::check,
    unsupported::check,
    unused::check,
];

/// Applies every rule.
pub(crate) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for rule in RULES {
        rule(resolved, sink);
    }
}
