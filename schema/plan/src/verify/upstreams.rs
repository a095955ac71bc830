//! The rules of upstreams: nothing that they hold can break a process start or an HTTP head.

use std::collections::BTreeSet;

use crate::{
    Breaker, ContentKey, Health, HttpTransport, PlanError, Private, ProcessLimits, Replicated,
    Retry, Sandbox, StdioTransport, Template, Timeouts, Transport, Upstream,
};

use super::{hold, is_sorted};

/// The most replicas of one upstream, and the largest share of one of them.
const REPLICAS_MAX: usize = 1024;
const WEIGHT_MAX: u32 = 1000;

/// The most failures that a breaker, or a series of questions, counts.
const FAILURES_MAX: u32 = 1000;

/// The most upstreams of sessions, and the most spares among them.
const PRIVATE_MAX: u32 = 10_000;
const SPARES_MAX: u32 = 64;

/// The most times that a call is sent.
const ATTEMPTS_MAX: u32 = 10;

pub(super) fn verify(upstreams: &[Upstream]) -> Result<(), PlanError> {
    hold(!upstreams.is_empty(), "there is no upstream")?;
    hold(
        is_sorted(upstreams.iter().map(|upstream| upstream.name.as_ref())),
        "upstreams are not sorted by name",
    )?;
    for upstream in upstreams {
        verify_timeouts(&upstream.timeouts)?;
        upstream.breaker.as_ref().map_or(Ok(()), verify_breaker)?;
        upstream.health.as_ref().map_or(Ok(()), verify_health)?;
        upstream.retry.as_ref().map_or(Ok(()), verify_retry)?;
        verify_private(upstream)?;
        match &upstream.transport {
            Transport::Stdio(stdio) => verify_stdio(stdio)?,
            Transport::Http(http) => verify_http(http)?,
            Transport::Replicated(replicated) => verify_replicated(replicated)?,
        }
    }
    Ok(())
}

pub(super) fn verify_keys(upstreams: &[Upstream]) -> Result<(), PlanError> {
    upstreams.iter().try_for_each(|upstream| {
        let key = ContentKey::of(&upstream.transport, upstream.era);
        hold(
            key == upstream.key && key != ContentKey::unsealed(),
            "an upstream's key does not match its definition",
        )?;
        let keys: BTreeSet<_> = upstream.keys().into_iter().collect();
        hold(
            keys.len() == upstream.keys().len(),
            "two replicas of an upstream are the same",
        )?;
        upstream.instances().iter().try_for_each(|instance| {
            hold(
                instance.key == ContentKey::of(&instance.transport, instance.era),
                "a replica's key does not match its definition",
            )
        })
    })
}

fn verify_timeouts(timeouts: &Timeouts) -> Result<(), PlanError> {
    let Timeouts {
        connect_ms,
        first_byte_ms,
        idle_ms,
        total_ms,
        list_ms,
    } = *timeouts;
    let parts = [connect_ms, first_byte_ms, idle_ms, list_ms];
    hold(
        parts.iter().all(|part| *part > 0 && *part <= total_ms),
        "a timeout is zero or longer than the whole call",
    )
}

fn verify_breaker(breaker: &Breaker) -> Result<(), PlanError> {
    hold(
        (1..=FAILURES_MAX).contains(&breaker.failures)
            && breaker.within_ms > 0
            && breaker.open_for_ms > 0,
        "a breaker opens at once, or at too many failures, or for no time",
    )?;
    hold(
        breaker
            .open_for_ms_max
            .is_none_or(|most| breaker.open_for_ms <= most)
            && breaker
                .replicas_percent_max
                .is_none_or(|share| (1..=100).contains(&share)),
        "the time that a breaker is open shrinks, or no replica's may open",
    )
}

fn verify_health(health: &Health) -> Result<(), PlanError> {
    let counts = 1..=FAILURES_MAX;
    hold(
        health.every_ms > 0
            && health.timeout_ms > 0
            && counts.contains(&health.failures)
            && counts.contains(&health.successes),
        "an upstream is asked all the time, has no time to answer, or is judged by no answer",
    )
}

fn verify_private(upstream: &Upstream) -> Result<(), PlanError> {
    let Some(private) = &upstream.private else {
        return Ok(());
    };
    let Private {
        at_most,
        idle_ms,
        spares,
        spares_at_most,
    } = *private;
    let spares_most = spares_at_most.unwrap_or(spares);
    hold(
        (1..=PRIVATE_MAX).contains(&at_most)
            && (spares..=SPARES_MAX.min(at_most)).contains(&spares_most)
            && idle_ms.is_none_or(|idle| idle > 0),
        "sessions have no upstreams of their own, or too many, or more spares than there may be upstreams",
    )?;
    hold(
        !matches!(upstream.transport, Transport::Replicated(_)),
        "a replicated upstream is a session's own",
    )
}

fn verify_retry(retry: &Retry) -> Result<(), PlanError> {
    hold(
        (2..=ATTEMPTS_MAX).contains(&retry.attempts) && (1..=100).contains(&retry.budget_percent),
        "a call is sent once or too often, or no share of calls may be sent again",
    )
}

fn verify_stdio(stdio: &StdioTransport) -> Result<(), PlanError> {
    let mut texts = stdio.args.iter().chain(&stdio.cwd);
    hold(
        !stdio.command.is_empty()
            && !stdio.command.contains('\0')
            && !texts.any(|text| text.contains('\0')),
        "a command is empty, or it or an argument holds a NUL",
    )?;
    let names = || stdio.env.iter().map(|(name, _)| name.as_ref());
    hold(
        is_sorted(names()) && names().all(|name| !name.is_empty() && !name.contains(['=', '\0'])),
        "the environment is not sorted or has a name that no environment has",
    )?;
    verify_templates(&stdio.env)?;
    verify_process_limits(&stdio.limits)?;
    stdio.sandbox.as_ref().map_or(Ok(()), verify_sandbox)?;
    let restart = &stdio.restart;
    hold(
        stdio.start.timeout_ms > 0
            && restart.within_ms > 0
            && restart.backoff_from_ms > 0
            && restart.backoff_from_ms <= restart.backoff_to_ms,
        "a start timeout, a restart window or a pause is zero, or a pause shrinks",
    )
}

fn verify_process_limits(limits: &ProcessLimits) -> Result<(), PlanError> {
    let is_enough = |limit: Option<u64>, least| limit.is_none_or(|limit| limit >= least);
    hold(
        is_enough(limits.memory_bytes, ProcessLimits::MEMORY_BYTES_MIN)
            && is_enough(
                limits.open_files.map(u64::from),
                ProcessLimits::OPEN_FILES_MIN.into(),
            )
            && is_enough(limits.processes.map(u64::from), 1)
            && is_enough(limits.cpu_percent.map(u64::from), 1),
        "a process may use too little to start",
    )?;
    hold(
        limits
            .cpu_percent
            .is_none_or(|it| it <= ProcessLimits::CPU_PERCENT_MAX),
        "a process may use more processor time than there is",
    )
}

fn verify_sandbox(sandbox: &Sandbox) -> Result<(), PlanError> {
    let lists = [&sandbox.read, &sandbox.write];
    let mut paths = lists.iter().flat_map(|paths| paths.iter());
    hold(
        lists
            .iter()
            .all(|paths| is_sorted(paths.iter().map(AsRef::as_ref)))
            && paths.all(|path| !path.is_empty() && !path.contains('\0')),
        "paths of a sandbox are not sorted, or one is empty or holds a NUL",
    )
}

fn verify_http(http: &HttpTransport) -> Result<(), PlanError> {
    let is_printable = |text: &str| text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    let texts = [&http.host, &http.authority, &http.path];
    hold(
        !http.host.is_empty()
            && http.port > 0
            && http.path.starts_with('/')
            && texts.iter().all(|text| is_printable(text)),
        "an upstream's host, port or path cannot be sent",
    )?;
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    let names = || http.headers.iter().map(|(name, _)| name.as_ref());
    hold(
        is_sorted(names()) && names().all(|name| !name.is_empty() && name.bytes().all(is_token)),
        "headers are not sorted or one has a name that is not a lower-case token",
    )?;
    verify_templates(&http.headers)
}

fn verify_replicated(replicated: &Replicated) -> Result<(), PlanError> {
    let replicas = &replicated.replicas;
    hold(
        (2..=REPLICAS_MAX).contains(&replicas.len()),
        "a replicated upstream has less than two replicas, or too many",
    )?;
    hold(
        replicas.iter().any(|replica| !replica.is_backup)
            && replicas
                .iter()
                .all(|replica| (1..=WEIGHT_MAX).contains(&replica.weight)),
        "a replica has no share of the calls, or all are backups",
    )?;
    replicas
        .iter()
        .try_for_each(|replica| verify_http(&replica.http))
}

fn verify_templates(fields: &[(Box<str>, Template)]) -> Result<(), PlanError> {
    hold(
        fields.iter().all(|(_, Template(parts))| !parts.is_empty()),
        "a template has no parts",
    )
}
