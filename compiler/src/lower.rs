//! The pass from the configuration as meant to the plan. It starts only without errors and cannot
//! fail: whatever a plan cannot hold was refused by `check`.
//!
//! Owns the shape of what the data plane reads: sorted tables, ids, bounds. Upstreams are lowered
//! in `lower/upstream.rs`, routes in `lower/routes.rs`. The output depends on nothing but the
//! configuration: maps are sorted by name, lists keep their order, places name the file only.

mod routes;
mod upstream;

use std::collections::BTreeMap;

use mcpc_config::{Config, Limits};
use mcpc_plan::{
    Access, AdminListener, Digest, Endpoint, FORMAT, Fallback, Listener, Plan, SecretUse, Upstream,
};

use crate::path::Path;
use crate::resolve::{Resolved, ResolvedEndpoint};
use crate::source::Source;

/// Bounds that are the same for every plan.
const HEAD_BYTES: u32 = 64 << 10;
const HEADERS: u32 = 100;
const NESTING: u32 = 64;
const LIST_PAGES: u32 = 64;
const LIST_ITEMS: u32 = 10_000;

/// Builds the plan, still without what its seal adds: the keys of upstreams and the digest.
pub(crate) fn lower(resolved: &Resolved<'_>, source: &Source) -> Plan {
    let config = resolved.config();
    let upstreams: Box<[Upstream]> = resolved.servers.iter().map(upstream::lower).collect();
    Plan {
        format: FORMAT,
        digest: Digest::unsealed(),
        listener: listener(resolved),
        admin: AdminListener {
            address: resolved.admin,
            allow_anonymous: config.admin.allow_anonymous,
        },
        endpoints: resolved
            .endpoints
            .iter()
            .map(|endpoint| lower_endpoint(endpoint, resolved))
            .collect(),
        secrets: SecretUse::of(&upstreams),
        upstreams,
        access: Access::Open,
        limits: limits(&config.limits),
        fallback: match config.fallback {
            mcpc_config::Fallback::None => Fallback::None,
            mcpc_config::Fallback::LastGood => Fallback::LastGood,
        },
        provenance: provenance(resolved, source),
    }
}

fn listener(resolved: &Resolved<'_>) -> Listener {
    let listen = &resolved.config().listen;
    let mut hosts: Vec<Box<str>> = listen
        .hosts
        .iter()
        .map(|host| host.as_str().into())
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    Listener {
        address: resolved.listen,
        hosts: hosts.into(),
        allow_anonymous: listen.allow_anonymous,
    }
}

fn limits(limits: &Limits) -> mcpc_plan::Limits {
    mcpc_plan::Limits {
        body_bytes: limits.body.as_bytes(),
        reply_bytes: limits.reply.as_bytes(),
        head_bytes: HEAD_BYTES,
        headers: HEADERS,
        nesting: NESTING,
        sessions: limits.sessions,
        session_idle_ms: limits.session_idle.as_ms(),
        private_upstreams: limits.session_servers,
        starts: limits.starts,
        memory_bytes: limits.memory.map(mcpc_config::Size::as_bytes),
        calls: limits.calls,
        unacknowledged_ms: limits.unacknowledged.as_ms(),
        connections: limits.connections,
        streams: limits.streams,
        list_pages: LIST_PAGES,
        list_items: LIST_ITEMS,
        grace_ms: limits.grace.as_ms(),
    }
}

fn lower_endpoint(endpoint: &ResolvedEndpoint<'_>, resolved: &Resolved<'_>) -> Endpoint {
    let written = endpoint.written;
    Endpoint {
        name: endpoint.name.into(),
        path: endpoint.path.into(),
        instructions: written.and_then(|written| written.instructions.as_deref().map(Into::into)),
        members: routes::members(endpoint, resolved),
        tools: routes::lower(endpoint, resolved, crate::resolve::Kind::Tools),
        prompts: routes::lower(endpoint, resolved, crate::resolve::Kind::Prompts),
    }
}

/// `servers.github` to `mcpc.yaml:12`. Only the name of the file: a plan must not depend on the
/// folder in which it was compiled.
fn provenance(resolved: &Resolved<'_>, source: &Source) -> BTreeMap<Box<str>, Box<str>> {
    let config: &Config = resolved.config();
    let sections = [
        ("servers", config.servers.keys().collect::<Vec<_>>()),
        (
            "endpoints",
            config
                .endpoints
                .iter()
                .flatten()
                .map(|(name, _)| name)
                .collect(),
        ),
    ];
    let mut places = BTreeMap::new();
    for (section, names) in sections {
        for name in names {
            let span = resolved.key_span(&Path::of([section, name]));
            let file = source.file_name(span.start).rsplit(['/', '\\']).next();
            let file = file.unwrap_or_default();
            let line = source.place(span.start).line;
            places.insert(
                format!("{section}.{name}").into(),
                format!("{file}:{line}").into(),
            );
        }
    }
    places
}
