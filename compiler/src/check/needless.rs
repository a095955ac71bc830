//! Settings that are sound and do nothing: whoever wrote them believes that they do something.
//!
//! Owns retries that never send anything again, and a share of replicas where there are none. Does not judge
//! filters, rules and permissions without an effect: `filters`, `access` and `listeners` do.

use mcpc_config::{Percent, Server};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::{Resolved, ResolvedServer};

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        retry(resolved, server, sink);
        share(resolved, server, sink);
    }
}

fn retry(resolved: &Resolved<'_>, server: &ResolvedServer<'_>, sink: &mut Sink) {
    let Some(retry) = server.server.retry() else {
        return;
    };
    let site = server.site().key("retry");
    let help = "give it 2 attempts or more and a budget, or remove `retry`";
    if retry.attempts == 1 {
        let label = "the only attempt is the first one";
        report(resolved, &site.key("attempts"), label, help, sink);
    } else if is_nothing(retry.budget) {
        let label = "no call may be sent again";
        report(resolved, &site.key("budget"), label, help, sink);
    }
}

fn share(resolved: &Resolved<'_>, server: &ResolvedServer<'_>, sink: &mut Sink) {
    let is_one = match server.server {
        Server::Stdio(_) | Server::Http(_) => true,
        Server::Replicated(replicated) => {
            let is_known = !resolved.decoded.is_partial(&server.site().key("replicas"));
            is_known && replicated.replicas.len() == 1
        }
    };
    let Some(breaker) = server.server.breaker().filter(|_| is_one) else {
        return;
    };
    if breaker.replicas_at_most.is_some() {
        let place = server.site().key("breaker").key("replicas_at_most");
        let label = "this server is only one";
        report(resolved, &place, label, "remove it", sink);
    }
}

fn is_nothing(share: Percent) -> bool {
    share.as_number() == 0
}

fn report(
    resolved: &Resolved<'_>,
    place: &Path,
    label: &'static str,
    help: &'static str,
    sink: &mut Sink,
) {
    if resolved.decoded.is_broken(place) {
        return;
    }
    let message = format!("`{place}` has no effect");
    let span = resolved.span(place);
    let diagnostic = Diagnostic::warning(codes::NO_EFFECT, message, span, label);
    sink.report(diagnostic.help(help));
}
