//! Replicas that are not alike: whether a call works would depend on who gets it.

use std::collections::BTreeSet;

use super::silence::place;
use super::{Answer, Answers};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::resolve::{Kind, Resolved, ResolvedServer};

pub(super) fn check(resolved: &Resolved<'_>, answers: &Answers<'_>, sink: &mut Sink) {
    for (server, said) in answers.all(resolved) {
        for kind in Kind::ALL {
            check_server(resolved, server, said, kind, sink);
        }
    }
}

fn check_server(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    said: &[&Answer],
    kind: Kind,
    sink: &mut Sink,
) {
    let surface = server.surface(kind);
    let mut lists = Vec::new();
    for answer in said {
        if let Ok(offer) = &answer.said {
            let list = offer.of(kind);
            if list.is_cut {
                return;
            }
            let names = list.names.iter().map(String::as_str);
            let exposed: BTreeSet<&str> = names.filter(|name| surface.allows(name)).collect();
            lists.push((answer.instance, exposed));
        }
    }
    let all: BTreeSet<&str> = lists.iter().flat_map(|(_, names)| names).copied().collect();
    for (instance, names) in &lists {
        let mut missing = all.difference(names);
        let (Some(first), more) = (missing.next(), missing.count()) else {
            continue;
        };
        let (first, one) = (plain_text(first), kind.one());
        let message = format!(
            "a replica of server `{}` lacks {one} `{first}`, which another one has",
            server.name
        );
        let span = resolved.span(&place(server, *instance));
        let label = format!("calls of `{first}` fail if they come here");
        let diagnostic = Diagnostic::error(codes::REPLICAS_DIFFER, message, span, label)
            .help("run the same server as every replica, or make two servers of them");
        sink.report(match more {
            0 => diagnostic,
            more => diagnostic.note(format!("and {more} more")),
        });
    }
}
