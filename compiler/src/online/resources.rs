//! Resources that two servers of one endpoint have: URIs have no prefix, so the first server gets all.

use std::collections::BTreeMap;

use mcpc_config::{Glob, UriFilter};

use super::{Answers, Offer};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::resolve::{Resolved, ResolvedEndpoint, ResolvedMember};
use crate::surface::PatternSet;

pub(super) fn check(resolved: &Resolved<'_>, answers: &Answers<'_>, sink: &mut Sink) {
    let several = resolved
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.members.len() > 1);
    for endpoint in several {
        for (what, of) in [
            (
                "resource",
                (|offer| &offer.resources.names) as fn(&Offer) -> &Vec<String>,
            ),
            ("resource template", |offer| &offer.templates.names),
        ] {
            check_endpoint(resolved, endpoint, answers, (what, of), sink);
        }
    }
}

type Names = fn(&Offer) -> &Vec<String>;

fn check_endpoint(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    answers: &Answers<'_>,
    (what, of): (&str, Names),
    sink: &mut Sink,
) {
    let mut owners: BTreeMap<&str, &ResolvedMember> = BTreeMap::new();
    // Two servers that share a hundred resources are one finding.
    let mut pairs = BTreeMap::new();
    for member in &endpoint.members {
        let filter = resolved.server(member.server);
        let filter = filter.and_then(|server| server.server.resources());
        let exposes = Exposes::of(filter);
        let offers = answers.offers(member.server);
        for uri in offers.flat_map(of).filter(|uri| exposes.allows(uri)) {
            let owner = *owners.entry(uri).or_insert(member);
            if owner.server != member.server {
                let pair = pairs.entry((owner.server, member.server));
                pair.or_insert((owner, member, uri, 0)).3 += 1;
            }
        }
    }
    for (owner, member, uri, count) in pairs.into_values() {
        let name = |member: &ResolvedMember| {
            let server = resolved.server(member.server);
            server.map_or("", |server| server.name)
        };
        let (one, two, uri) = (name(owner), name(member), plain_text(uri));
        let message = format!("{what} `{uri}` belongs to two servers: `{one}` and `{two}`");
        let span = |member| resolved.member_span(endpoint, member);
        let label = format!("clients never get it from `{two}`");
        let diagnostic =
            Diagnostic::warning(codes::RESOURCE_OF_TWO_SERVERS, message, span(member), label)
                .and(span(owner), format!("`{one}` comes first and has it"))
                .help(format!(
                    "deny it in one of them under `resources.deny`, or put the two on endpoints of their own; this is endpoint `{}`",
                    endpoint.name
                ));
        sink.report(match count {
            1 => diagnostic,
            count => diagnostic.note(format!("the two share {} more", count - 1)),
        });
    }
}

/// Which resources a server exposes.
struct Exposes<'a> {
    allow: Option<PatternSet<'a>>,
    deny: PatternSet<'a>,
}

impl<'a> Exposes<'a> {
    fn of(filter: Option<&'a UriFilter>) -> Self {
        let allow: Option<&[Glob]> = filter.and_then(|filter| filter.allow.as_deref());
        let deny = filter.map_or(&[][..], |filter| &filter.deny);
        Self {
            allow: allow.map(PatternSet::new),
            deny: PatternSet::new(deny),
        }
    }

    fn allows(&self, uri: &str) -> bool {
        let allow = self.allow.as_ref();
        allow.is_none_or(|allow| allow.matching(uri).is_some()) && self.deny.matching(uri).is_none()
    }
}
