//! Servers that have not said what they have, or not all of it.

use mcpc_config::Server;

use super::{Answers, Silence, offers};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::{Resolved, ResolvedServer};

const HELP_OVER_HTTP: &str = "see that the server runs, that the address is the right one, and that it takes the credentials";

pub(super) fn check(resolved: &Resolved<'_>, answers: &Answers<'_>, sink: &mut Sink) {
    for (server, said) in answers.all(resolved) {
        for answer in said {
            match &answer.said {
                Ok(offer) => {
                    let lists = [
                        ("tools", &offer.tools),
                        ("prompts", &offer.prompts),
                        ("resources", &offer.resources),
                        ("resource templates", &offer.templates),
                    ];
                    let cut = lists.into_iter().filter(|(_, list)| list.is_cut);
                    for (what, list) in cut {
                        sink.report(cut_list(resolved, server, (what, list.names.len())));
                    }
                }
                Err(silence) => {
                    let at = place(server, answer.instance);
                    let stands_in = offers(said).next().is_some();
                    sink.report(unusable(resolved, server, (&at, silence), stands_in));
                }
            }
        }
    }
}

/// Where it stands how a server is reached.
pub(super) fn place(server: &ResolvedServer<'_>, instance: usize) -> Path {
    let site = server.site();
    match server.server {
        Server::Stdio(_) => site.key("command"),
        Server::Http(_) => site.key("url"),
        Server::Replicated(_) => site.key("replicas").index(instance),
    }
}

/// Calls go on if another replica can stand in.
fn unusable(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    (at, silence): (&Path, &Silence),
    stands_in: bool,
) -> Diagnostic {
    let (of, help) = match server.server {
        Server::Stdio(_) => (
            "",
            "correct the server, or start a gateway with `mcpc run`, which shows what the server writes on its standard error",
        ),
        Server::Http(_) => ("", HELP_OVER_HTTP),
        Server::Replicated(_) => ("a replica of ", HELP_OVER_HTTP),
    };
    let name = server.name;
    let (code, message) = match &silence.list {
        None => (
            codes::SERVER_UNUSABLE,
            format!("{of}server `{name}` cannot be used"),
        ),
        Some(list) => (
            codes::LIST_NOT_GIVEN,
            format!("{of}server `{name}` does not list its {list}"),
        ),
    };
    let (span, label) = (resolved.span(at), silence.reason.as_str());
    if stands_in {
        return Diagnostic::warning(code, message, span, label)
            .help(help)
            .note("calls go to the other replicas");
    }
    Diagnostic::error(code, message, span, label)
        .help(help)
        .note(format!("calls would fail with {}", silence.code))
}

fn cut_list(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    (what, count): (&str, usize),
) -> Diagnostic {
    let message = format!(
        "server `{}` lists more {what} than a gateway takes",
        server.name
    );
    let span = resolved.key_span(&server.site());
    let label = format!("clients are shown the first {count}");
    Diagnostic::warning(codes::LIST_CUT, message, span, label)
        .help("have the server list less, or make two servers of it")
}
