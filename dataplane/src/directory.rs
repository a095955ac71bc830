//! Which member of an endpoint owns which resource.
//!
//! URIs carry no prefix: tool results, embedded resources and templates name them, and rewriting
//! all of these would be lossy. So with several members the owner is looked up: first what was
//! listed, then what the configuration claims, then templates; an unknown URI refreshes the lists
//! once. See `docs/decisions/0004-resources-by-uri.md`.
#![expect(
    clippy::disallowed_types,
    reason = "who reads an unknown URI waits for the lists in any case, and one fetch is enough for all"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mcpc_plan::{MemberId, Pattern};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::call::Party;
use crate::list;
use crate::list_kind::Kind;
use crate::snapshot::{Served, ServedMember};

/// An unknown URI refreshes the lists at most this often.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// What the lists of the members have told.
pub(crate) struct Directory {
    known: ArcSwap<Known>,
    /// When the lists were last fetched because of an unknown URI; the lock makes it single flight.
    refreshed: Mutex<Option<Instant>>,
}

#[derive(Clone, Default)]
struct Known {
    uris: HashMap<Box<str>, MemberId>,
    templates: Vec<(Pattern, MemberId)>,
}

impl Directory {
    /// A directory that knows nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            known: ArcSwap::from_pointee(Known::default()),
            refreshed: Mutex::new(None),
        }
    }

    /// Takes the URIs of a list that was just merged, in the order of precedence.
    pub(crate) fn learn_uris(&self, listed: impl Iterator<Item = (Box<str>, MemberId)>) {
        let mut uris = HashMap::new();
        for (uri, member) in listed {
            uris.entry(uri).or_insert(member);
        }
        self.known.rcu(|known| Known {
            uris: uris.clone(),
            templates: known.templates.clone(),
        });
    }

    /// Takes the templates of a list that was just merged, in the order of precedence.
    pub(crate) fn learn_templates(&self, listed: impl Iterator<Item = (Box<str>, MemberId)>) {
        let templates: Vec<_> = listed
            .map(|(template, member)| (pattern_of(&template), member))
            .collect();
        self.known.rcu(|known| Known {
            uris: known.uris.clone(),
            templates: templates.clone(),
        });
    }

    fn owner(&self, served: &Served, uri: &str) -> Option<MemberId> {
        let known = self.known.load();
        let listed = known.uris.get(uri).copied();
        let claimed = || {
            let claims = |member: &&ServedMember| {
                member.plan.resources.allow.is_some() && member.plan.resources.allows(uri)
            };
            let at = served.members.iter().position(|member| claims(&member))?;
            MemberId::new(at)
        };
        let by_template = || {
            known
                .templates
                .iter()
                .find(|(pattern, _)| pattern.matches(uri))
                .map(|(_, id)| *id)
        };
        listed.or_else(claimed).or_else(by_template)
    }
}

/// The member that owns a URI or URI template, if it exposes it.
pub(crate) async fn find<'a>(served: &'a Arc<Served>, uri: &str) -> Option<&'a ServedMember> {
    let exposed = |member: &'a ServedMember| member.plan.resources.allows(uri).then_some(member);
    if let Some(sole) = served.sole() {
        return exposed(sole);
    }
    if let Some(id) = served.directory.owner(served, uri) {
        return served.member(id).and_then(exposed);
    }
    Box::pin(refresh(served)).await;
    served
        .directory
        .owner(served, uri)
        .and_then(|id| served.member(id))
        .and_then(exposed)
}

/// Fetches the lists anew, unless somebody did so just now.
async fn refresh(served: &Arc<Served>) {
    let mut refreshed = served.directory.refreshed.lock().await;
    if refreshed.is_some_and(|at| at.elapsed() < REFRESH_EVERY) {
        return;
    }
    // Merging teaches the directory; a list that fails teaches nothing and the URI stays unknown.
    let _ = list::merge(served, Kind::Resources, Party::Unknown, None).await;
    let _ = list::merge(served, Kind::Templates, Party::Unknown, None).await;
    *refreshed = Some(Instant::now());
}

/// `note://{id}/x` becomes `note://*/x`: RFC 6570 expressions stand for any characters.
fn pattern_of(template: &str) -> Pattern {
    let mut pattern = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        pattern.push_str(before);
        pattern.push('*');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    pattern.push_str(rest);
    Pattern::new(&pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_expressions_stand_for_any_characters() {
        for (template, uri, matches) in [
            ("note://{id}", "note://7", true),
            ("note://{id}/x", "note://7/y", false),
            ("a://{x}/{y}", "a://1/2", true),
            ("a://b", "a://b", true),
            ("a://{", "a://b", true),
        ] {
            assert_eq!(
                pattern_of(template).matches(uri),
                matches,
                "{template} {uri}"
            );
        }
    }
}
