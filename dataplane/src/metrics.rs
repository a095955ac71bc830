//! What is measured: every family of the metrics page, and where its numbers come from.
//!
//! Owns names and meanings; a test writes `docs/reference/metrics.md` from them. Counts nothing itself: what
//! is counted is counted where it happens, and read when the page is asked for. How it is written is
//! `exposition`'s. Runs on the admin thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::exposition::{Family, Form, Kind, Page, as_number};
use crate::pipeline::Plane;
use crate::snapshot::Snapshot;
use crate::status::{BreakerState, Status, UpstreamState};
use crate::survey::{Scene, breaker_state};
use crate::upstream::{BOUNDS_SECONDS, Replicas, Upstream};

/// Declares the families: name in the code, kind, name, labels, sentence.
macro_rules! families {
    ($($family:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            const $family: Family = Family {
                name: $name,
                kind: Kind::$kind,
                help: $help,
                labels: &[$($label),*],
            };
        )*

        /// Every family that there is, in the order of the page.
        pub const FAMILIES: &[Family] = &[$($family),*];
    };
}

families! {
    BUILD Gauge "mcpc_build_info" ["version"] "The version of the gateway; always 1.";
    START Gauge "process_start_time_seconds" [] "When the process started, in seconds since 1970.";
    OPEN_FDS Gauge "process_open_fds" [] "Descriptors in use, as far as the lowest free one tells.";
    MAX_FDS Gauge "process_max_fds" [] "The most descriptors that the process may have.";
    MEMORY Gauge "process_resident_memory_bytes" [] "The memory that the process holds.";
    MEMORY_MAX Gauge "mcpc_memory_limit_bytes" [] "How much it may hold by the plan, or by its container; absent if there is no bound.";
    PLAN Gauge "mcpc_plan_info" ["digest"] "The live plan; always 1.";
    PLAN_SINCE Gauge "mcpc_plan_live_since_seconds" [] "Since when the plan is live, in seconds since 1970.";
    PLAN_REFUSED Gauge "mcpc_plan_refused" [] "1 while a newer plan or configuration than the live one is refused.";
    RELOADS Counter "mcpc_reloads_total" ["outcome"] "Plans that came after the first one: accepted, unchanged, refused.";
    CALLS Counter "mcpc_calls_total" [] "Calls that were sent to a server and came to an end.";
    CALLS_FAILED Counter "mcpc_calls_failed_total" [] "Those of them that the server did not answer.";
    REFUSED Counter "mcpc_refused_total" ["code"] "Requests that the gateway answered with an error of its own, by its code: each bound has one.";
    CONNECTIONS Gauge "mcpc_connections" [] "Open connections of clients.";
    CONNECTIONS_MAX Gauge "mcpc_connections_limit" [] "How many there may be.";
    SESSIONS Gauge "mcpc_sessions" [] "Legacy sessions with state.";
    SESSIONS_MAX Gauge "mcpc_sessions_limit" [] "How many there may be.";
    STREAMS Gauge "mcpc_streams" [] "Open notification streams.";
    STREAMS_MAX Gauge "mcpc_streams_limit" [] "How many there may be.";
    CALLS_OPEN Gauge "mcpc_calls_under_way" [] "Calls that wait for the answer of a server.";
    CALLS_MAX Gauge "mcpc_calls_limit" [] "How many there may be.";
    PARKED Gauge "mcpc_parked_calls" [] "Calls that wait for a modern client to come back.";
    PARKED_BYTES Gauge "mcpc_parked_bytes" [] "What their questions take up.";
    STAGE Gauge "mcpc_shedding_stage" [] "What is given up under pressure: 0 nothing, 1 idle connections, 2 new sessions, 3 new calls.";
    PRESSURE Gauge "mcpc_pressure_ratio" ["resource"] "How much of what it may have the gateway uses.";
    SHED Counter "mcpc_shed_total" ["what"] "What was given up under pressure: connections, sessions, calls.";
    TROUBLE Gauge "mcpc_trouble" ["code"] "1 while the system denies the gateway something.";
    STATE Gauge "mcpc_upstream_state" ["server", "replica", "state"] "1 for the state that a server or replica is in.";
    IN_FLIGHT Gauge "mcpc_upstream_in_flight" ["server", "replica"] "Calls that wait for its answer.";
    DURATION Histogram "mcpc_upstream_call_duration_seconds" ["server", "replica"] "How long its answers took.";
    FAILED Counter "mcpc_upstream_calls_failed_total" ["server", "replica"] "Calls that it did not answer.";
    RESTARTS Counter "mcpc_upstream_restarts_total" ["server"] "How often its process was started again.";
    HEALTHY Gauge "mcpc_upstream_healthy" ["server", "replica"] "1 if it answers when it is asked.";
    ASKED Counter "mcpc_upstream_health_checks_total" ["server", "replica", "outcome"] "How often it was asked: answered, failed.";
    BREAKER Gauge "mcpc_upstream_breaker_state" ["server", "replica", "state"] "1 for the state that its breaker is in.";
    OPENINGS Counter "mcpc_upstream_breaker_openings_total" ["server", "replica"] "How often its breaker has opened, that is, it was ejected.";
    WITHHELD Counter "mcpc_upstream_breaker_withheld_total" ["server", "replica"] "How often its breaker did not open because too many others were open.";
    RETRIES Counter "mcpc_upstream_retries_total" ["server", "outcome"] "Calls that were sent again, or were not for want of budget: sent, refused.";
}

/// The page of this moment.
pub(crate) fn page(scene: &Scene, plane: &Plane, form: Form) -> String {
    let mut page = Page::new(form);
    let snapshot = plane.live.load_full();
    let status = scene.status(plane);
    process(&mut page, &status, scene, plane);
    plans(&mut page, &status, scene);
    clients(&mut page, plane, &snapshot);
    pressure(&mut page, &status, plane);
    let servers = Server::all(&snapshot);
    upstreams(&mut page, &servers);
    health(&mut page, &servers);
    breakers(&mut page, &servers);
    retries(&mut page, &snapshot);
    page.finish()
}

fn process(page: &mut Page, status: &Status, scene: &Scene, plane: &Plane) {
    page.family(&BUILD).count(&[&status.version], 1);
    let started = as_number(scene.started_at().unix_ms()) / 1000.0;
    page.family(&START).number(&[], started);
    let (used, most) = crate::descriptors::in_use();
    if let Some(used) = used {
        page.family(&OPEN_FDS).count(&[], used);
    }
    page.family(&MAX_FDS).count(&[], most);
    if let Some(bytes) = plane.pressure.memory() {
        page.family(&MEMORY).count(&[], bytes);
    }
    let limits = &plane.live.load().limits;
    if let Some(bytes) = plane.pressure.memory_limit(limits) {
        page.family(&MEMORY_MAX).count(&[], bytes);
    }
}

fn plans(page: &mut Page, status: &Status, scene: &Scene) {
    if let Some(live) = &status.live {
        page.family(&PLAN).count(&[live.digest.as_str()], 1);
        let since = as_number(live.since.unix_ms()) / 1000.0;
        page.family(&PLAN_SINCE).number(&[], since);
    }
    let is_refused = u64::from(status.refused.is_some());
    page.family(&PLAN_REFUSED).count(&[], is_refused);
    let reloads = scene.reloads();
    page.family(&RELOADS)
        .count(&["accepted"], reloads.accepted)
        .count(&["unchanged"], reloads.unchanged)
        .count(&["refused"], reloads.refused);
}

fn clients(page: &mut Page, plane: &Plane, snapshot: &Snapshot) {
    let calls = plane.tally.calls();
    page.family(&CALLS).count(&[], calls.all);
    page.family(&CALLS_FAILED).count(&[], calls.failed);
    let mut refused = page.family(&REFUSED);
    for (code, count) in plane.refusals.used() {
        refused.count(&[&code], count);
    }
    let limits = &snapshot.limits;
    let open = plane.connections.load(Ordering::Relaxed);
    let (parked, bytes) = plane.parked.held();
    for (family, value) in [
        (&CONNECTIONS, open.into()),
        (&CONNECTIONS_MAX, limits.connections.into()),
        (&SESSIONS, plane.sessions.count().into()),
        (&SESSIONS_MAX, limits.sessions.into()),
        (&STREAMS, plane.streams.count().into()),
        (&STREAMS_MAX, limits.streams.into()),
        (&CALLS_OPEN, plane.pressure.calls()),
        (&CALLS_MAX, limits.calls.into()),
        (&PARKED, parked),
        (&PARKED_BYTES, bytes),
    ] {
        page.family(family).count(&[], value);
    }
}

fn pressure(page: &mut Page, status: &Status, plane: &Plane) {
    let pressure = &plane.pressure;
    page.family(&STAGE).count(&[], pressure.stage() as u64);
    let mut ratios = page.family(&PRESSURE);
    for (resource, ratio) in pressure.ratios() {
        ratios.number(&[resource], ratio);
    }
    let mut shed = page.family(&SHED);
    for (what, count) in pressure.shed() {
        shed.count(&[what], count);
    }
    let mut troubles = page.family(&TROUBLE);
    for trouble in &status.troubles {
        troubles.count(&[&trouble.code], 1);
    }
    if status.is_kept_badly() {
        troubles.count(&["MCPC9613"], 1);
    }
}

/// A server or replica, as the page names it.
struct Server {
    name: Box<str>,
    /// Nothing if it is the only one.
    replica: Box<str>,
    upstream: Arc<Upstream>,
    /// Those at what sessions have to themselves of the only one included.
    in_flight: u64,
}

impl Server {
    fn all(snapshot: &Snapshot) -> Vec<Self> {
        let servers = snapshot.servers.iter();
        let each = servers.flat_map(|(name, replicas): &(Box<str>, Arc<Replicas>)| {
            replicas.all().map(|replica| Self {
                name: name.clone(),
                replica: replica.place.clone(),
                in_flight: match replica.place.as_ref() {
                    "" => replicas.in_flight(),
                    _ => replica.upstream.state().in_flight,
                },
                upstream: Arc::clone(&replica.upstream),
            })
        });
        each.collect()
    }

    fn labels(&self) -> [&str; 2] {
        [&self.name, &self.replica]
    }
}

fn upstreams(page: &mut Page, servers: &[Server]) {
    let all: Vec<&str> = UpstreamState::ALL
        .into_iter()
        .map(UpstreamState::name)
        .collect();
    let mut family = page.family(&STATE);
    for server in servers {
        let holds = server.upstream.state().condition.name();
        family.states(&server.labels(), &all, holds);
    }
    let mut family = page.family(&IN_FLIGHT);
    for server in servers {
        family.count(&server.labels(), server.in_flight);
    }
    let mut family = page.family(&DURATION);
    for server in servers {
        let counted = server.upstream.durations();
        let sum = counted.sum.as_secs_f64();
        family.histogram(&server.labels(), &BOUNDS_SECONDS, &counted.buckets, sum);
    }
    let mut family = page.family(&FAILED);
    for server in servers {
        family.count(&server.labels(), server.upstream.failed_calls());
    }
    let mut family = page.family(&RESTARTS);
    // Replicas are no processes.
    for server in servers.iter().filter(|server| server.replica.is_empty()) {
        family.count(&[&server.name], server.upstream.state().restarts);
    }
}

fn health(page: &mut Page, servers: &[Server]) {
    let asked = |server: &Server| server.upstream.checked();
    let mut family = page.family(&HEALTHY);
    for server in servers {
        if let Some(checked) = asked(server) {
            family.count(&server.labels(), u64::from(checked.is_healthy));
        }
    }
    let mut family = page.family(&ASKED);
    for server in servers {
        let Some(checked) = asked(server) else {
            continue;
        };
        let [name, replica] = server.labels();
        let answered = checked.asked.saturating_sub(checked.failed);
        family
            .count(&[name, replica, "answered"], answered)
            .count(&[name, replica, "failed"], checked.failed);
    }
}

fn breakers(page: &mut Page, servers: &[Server]) {
    let readings = servers.iter();
    let readings = readings.filter_map(|server| Some((server, server.upstream.breaker()?)));
    let readings: Vec<_> = readings.collect();
    let states = [
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
    ];
    let all: Vec<&str> = states.into_iter().map(breaker_name).collect();
    let mut family = page.family(&BREAKER);
    for (server, reading) in &readings {
        let holds = breaker_name(breaker_state(reading.position));
        family.states(&server.labels(), &all, holds);
    }
    let mut family = page.family(&OPENINGS);
    for (server, reading) in &readings {
        family.count(&server.labels(), reading.openings);
    }
    let mut family = page.family(&WITHHELD);
    for (server, reading) in &readings {
        family.count(&server.labels(), reading.withheld);
    }
}

fn retries(page: &mut Page, snapshot: &Snapshot) {
    let mut family = page.family(&RETRIES);
    for (name, replicas) in &snapshot.servers {
        if replicas.retries() {
            let spent = replicas.spent();
            family
                .count(&[name, "sent"], spent.sent)
                .count(&[name, "refused"], spent.refused);
        }
    }
}

fn breaker_name(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half_open",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_units_and_kinds() {
        let mut names = std::collections::BTreeSet::new();
        for family in FAMILIES {
            let name = family.name;
            assert!(names.insert(name), "{name} twice");
            let is_total = name.ends_with("_total");
            assert_eq!(is_total, family.kind == Kind::Counter, "{name}");
            assert!(family.help.ends_with('.'), "{name}");
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.bytes().all(is_plain), "{name}");
        }
    }
}
