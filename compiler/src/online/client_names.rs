//! Names that only a server tells, and that some clients refuse or confuse: what `check` finds in the
//! names that are written down, for all the others.

use std::collections::BTreeSet;

use super::Answers;
use crate::check::client_names::{NAME_CHARS_MAX, cleaned};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::resolve::{Kind, Resolved, ResolvedEndpoint, ResolvedMember};

/// A tool as clients of an endpoint see it.
struct Tool<'a> {
    name: String,
    member: &'a ResolvedMember,
    /// Whether the configuration mentions it: then it was judged without the servers.
    is_known: bool,
}

pub(super) fn check(resolved: &Resolved<'_>, answers: &Answers<'_>, sink: &mut Sink) {
    for endpoint in &resolved.endpoints {
        let tools = tools(resolved, endpoint, answers);
        long(resolved, endpoint, &tools, sink);
        same_to_clients(resolved, endpoint, &tools, sink);
    }
}

fn tools<'a>(
    resolved: &Resolved<'_>,
    endpoint: &'a ResolvedEndpoint<'_>,
    answers: &Answers<'_>,
) -> Vec<Tool<'a>> {
    let mut tools = Vec::new();
    for member in &endpoint.members {
        let Some(server) = resolved.server(member.server) else {
            continue;
        };
        let surface = server.surface(Kind::Tools);
        let tool = |local: &str, is_known| Tool {
            name: format!("{}{local}", member.prefix),
            member,
            is_known,
        };
        tools.extend(surface.known.iter().map(|known| tool(known.local, true)));
        let known: BTreeSet<&str> = surface.known.iter().map(|known| known.local).collect();
        let listed: BTreeSet<&str> = answers
            .offers(member.server)
            .flat_map(|offer| &offer.tools.names)
            .map(String::as_str)
            .filter(|name| surface.could_expose(name) && !known.contains(name))
            .collect();
        tools.extend(listed.into_iter().map(|name| tool(name, false)));
    }
    tools
}

/// One finding for each server: what makes one name too long mostly makes others so.
fn long(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    tools: &[Tool<'_>],
    sink: &mut Sink,
) {
    for of_server in tools.chunk_by(|one, other| one.member.server == other.member.server) {
        let length = |tool: &Tool<'_>| tool.name.chars().count();
        let mut long = of_server
            .iter()
            .filter(|tool| !tool.is_known && length(tool) > NAME_CHARS_MAX);
        let (Some(first), more) = (long.next(), long.count()) else {
            continue;
        };
        let (name, length) = (plain_text(&first.name), length(first));
        let message = format!("tool name `{name}` has {length} characters");
        let span = resolved.member_span(endpoint, first.member);
        let label = format!("the server lists it; with the prefix it has {length} characters");
        let diagnostic = Diagnostic::warning(codes::NAME_TOO_LONG, message, span, label)
            .help("give it a shorter name under `rename`, or the endpoint a shorter `prefix`")
            .note("many clients refuse tool names of more than 64 characters");
        sink.report(match more {
            0 => diagnostic,
            more => diagnostic.note(format!("and {more} more of this server")),
        });
    }
}

/// One finding for each two servers.
fn same_to_clients(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    tools: &[Tool<'_>],
    sink: &mut Sink,
) {
    let mut by_look: Vec<(String, &Tool<'_>)> = tools
        .iter()
        .map(|tool| (cleaned(&tool.name), tool))
        .collect();
    by_look.sort_by(|(a, one), (b, two)| (a, &one.name).cmp(&(b, &two.name)));
    let mut told = BTreeSet::new();
    for pair in by_look.windows(2) {
        let [(look, one), (other_look, two)] = pair else {
            continue;
        };
        let is_news = !(one.is_known && two.is_known);
        if look != other_look || one.name == two.name || !is_news {
            continue;
        }
        if !told.insert((one.member.server, two.member.server)) {
            continue;
        }
        let message = format!(
            "tool names `{}` and `{}` are the same to some clients",
            plain_text(&one.name),
            plain_text(&two.name)
        );
        let span = |tool: &Tool<'_>| resolved.member_span(endpoint, tool.member);
        let label = format!("becomes `{}`", plain_text(look));
        let mut diagnostic =
            Diagnostic::warning(codes::SAME_TO_CLIENTS, message, span(two), label.clone());
        if one.member.server != two.member.server {
            diagnostic = diagnostic.and(span(one), label);
        }
        sink.report(
            diagnostic
                .help("rename one of the two so that they differ in letters or digits")
                .note("some clients replace every character that is not a letter or digit by `_`"),
        );
    }
}
