//! Time spans that contradict each other. Defaults give way: only what was written is judged, and
//! `lower` fits the rest to it.

use mcpc_config::{Duration, Server, StartWhen, StdioServer};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::{Resolved, ResolvedServer};

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    let limits = &resolved.config().limits;
    let site = Path::of(["limits"]);
    for (key, span) in [
        ("session_idle", limits.session_idle),
        ("unacknowledged", limits.unacknowledged),
        ("grace", limits.grace),
    ] {
        not_zero(resolved, &site.key(key), span, sink);
    }
    for server in &resolved.servers {
        parts_of_total(resolved, server, sink);
        if let Some(breaker) = server.server.breaker() {
            let site = server.site().key("breaker");
            not_zero(resolved, &site.key("within"), breaker.within, sink);
            not_zero(resolved, &site.key("open_for"), breaker.open_for, sink);
            if let Some(longest) = breaker.open_for_at_most {
                let place = site.key("open_for_at_most");
                not_zero(resolved, &place, longest, sink);
                shrinks(
                    resolved,
                    (&site.key("open_for"), breaker.open_for),
                    (&place, longest),
                    "`open_for` is the first pause; it doubles until it reaches `open_for_at_most`",
                    sink,
                );
            }
        }
        if let Some(health) = server.server.health() {
            let site = server.site().key("health");
            not_zero(resolved, &site.key("every"), health.every, sink);
            not_zero(resolved, &site.key("timeout"), health.timeout, sink);
        }
        if let Server::Stdio(stdio) = server.server {
            if let Some(idle) = stdio.sessions.as_ref().and_then(|sessions| sessions.idle) {
                let place = server.site().key("sessions").key("idle");
                not_zero(resolved, &place, idle, sink);
            }
            process(resolved, server, stdio, sink);
        }
    }
}

fn not_zero(resolved: &Resolved<'_>, place: &Path, span: Duration, sink: &mut Sink) {
    if span.as_ms() > 0 {
        return;
    }
    let message = format!("`{place}` is zero");
    let place = resolved.span(place);
    let diagnostic = Diagnostic::error(
        codes::ZERO_DURATION,
        message,
        place,
        "nothing can happen in no time",
    );
    sink.report(diagnostic.help("give it a time, or leave it out for its default"));
}

/// Whether a value was written, and is sound.
fn is_written(resolved: &Resolved<'_>, place: &Path) -> bool {
    resolved.decoded.tree.contains(place) && !resolved.decoded.is_broken(place)
}

fn parts_of_total(resolved: &Resolved<'_>, server: &ResolvedServer<'_>, sink: &mut Sink) {
    let timeouts = server.server.timeouts();
    let total = timeouts.total;
    let parts = [
        ("connect", timeouts.connect),
        ("first_byte", timeouts.first_byte),
        ("idle", timeouts.idle),
        ("list", timeouts.list),
    ];
    // Paths are only made for what needs them: most servers have the defaults.
    if total.as_ms() > 0
        && parts
            .iter()
            .all(|(_, part)| part.as_ms() > 0 && *part <= total)
    {
        return;
    }
    let site = server.site().key("timeouts");
    not_zero(resolved, &site.key("total"), total, sink);
    let is_total_known = total.as_ms() > 0 && !resolved.decoded.is_broken(&site.key("total"));
    for (key, part) in parts {
        let place = site.key(key);
        not_zero(resolved, &place, part, sink);
        if part <= total || !is_total_known || !is_written(resolved, &place) {
            continue;
        }
        let message = format!("`{place}` is longer than the whole call may take");
        let diagnostic = Diagnostic::error(
            codes::PART_LONGER_THAN_TOTAL,
            message,
            resolved.span(&place),
            format!("{part} can never pass"),
        )
        .help(format!("raise `total`, or lower `{key}`"));
        let end = format!("the whole call ends after {total}");
        sink.report(resolved.and(diagnostic, &site.key("total"), &end));
    }
}

fn process(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    stdio: &StdioServer,
    sink: &mut Sink,
) {
    let backoff = &stdio.restart.backoff;
    let spans = [
        (["start", "timeout"].as_slice(), stdio.start.timeout),
        (&["restart", "within"], stdio.restart.within),
        (&["restart", "backoff", "from"], backoff.from),
        (&["restart", "backoff", "to"], backoff.to),
    ];
    for (keys, span) in spans.into_iter().filter(|(_, span)| span.as_ms() == 0) {
        let place = keys.iter().fold(server.site(), |path, key| path.key(key));
        not_zero(resolved, &place, span, sink);
    }
    shrinking_backoff(resolved, server, stdio, sink);
    start_outlasts_call(resolved, server, stdio, sink);
}

fn shrinking_backoff(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    stdio: &StdioServer,
    sink: &mut Sink,
) {
    let backoff = &stdio.restart.backoff;
    let site = server.site().key("restart").key("backoff");
    shrinks(
        resolved,
        (&site.key("from"), backoff.from),
        (&site.key("to"), backoff.to),
        "`from` is the first pause; it doubles until it reaches `to`",
        sink,
    );
}

/// Refuses a pause that begins longer than it may become.
fn shrinks(
    resolved: &Resolved<'_>,
    (from, first): (&Path, Duration),
    (to, longest): (&Path, Duration),
    help: &'static str,
    sink: &mut Sink,
) {
    if first <= longest || longest.as_ms() == 0 {
        return;
    }
    if !is_written(resolved, from) || !is_written(resolved, to) {
        return;
    }
    let diagnostic = Diagnostic::error(
        codes::BACKOFF_SHRINKS,
        "the first pause is longer than the longest one",
        resolved.span(from),
        format!("the first pause is {first}"),
    )
    .and(
        resolved.span(to),
        format!("no pause is longer than {longest}"),
    )
    .help(help);
    sink.report(diagnostic);
}

/// The first call waits until a lazy process has started; it must be able to live that long.
fn start_outlasts_call(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    stdio: &StdioServer,
    sink: &mut Sink,
) {
    let total = stdio.timeouts.total;
    let is_lazy = stdio.start.when == StartWhen::Lazy;
    if !is_lazy || stdio.start.timeout < total || total.as_ms() == 0 {
        return;
    }
    let start = server.site().key("start");
    let place = server.site().key("timeouts").key("total");
    let is_broken = |path: &Path| resolved.decoded.is_broken(path);
    if is_broken(&place) || is_broken(&start.key("timeout")) {
        return;
    }
    let message = format!(
        "the first call to server `{}` may end before its process has started",
        server.name
    );
    let label = format!("starting may take {}", stdio.start.timeout);
    let diagnostic = Diagnostic::warning(
        codes::START_OUTLASTS_CALL,
        message,
        resolved.span(&start.key("timeout")),
        label,
    )
    .help("use `when: eager`, raise `timeouts.total`, or lower `start.timeout`")
    .note("a lazy process starts with the first call, which waits for it");
    let end = format!("a call ends after {total}");
    sink.report(resolved.and(diagnostic, &place, &end));
}
