//! Members and route tables of an endpoint.
//!
//! Relies on what `check` proved: no exposed name twice, no prefix that starts another one, no
//! prefix that could claim a known name of another member.

use mcpc_config::{Glob, NameFilter, UriFilter};
use mcpc_plan::{
    ExactRoute, Member, MemberId, Names, OpenRoute, Pattern, Rename, Routes, UpstreamId, Uris,
};

use crate::resolve::{Kind, Resolved, ResolvedEndpoint, ResolvedMember, ResolvedServer};

pub(super) fn members(endpoint: &ResolvedEndpoint<'_>, resolved: &Resolved<'_>) -> Box<[Member]> {
    let members = endpoint.members.iter().filter_map(|member| {
        let server = resolved.server(member.server)?;
        Some(Member {
            upstream: UpstreamId::new(member.server.index())?,
            prefix: member.prefix.as_str().into(),
            tools: names(server.tools.filter),
            prompts: names(server.prompts.filter),
            resources: uris(server.server.resources()),
        })
    });
    members.collect()
}

fn patterns(globs: &[Glob]) -> Box<[Pattern]> {
    Pattern::sorted(globs.iter().map(|glob| Pattern::new(glob.as_str())))
}

fn names(filter: Option<&NameFilter>) -> Names {
    let Some(filter) = filter else {
        return Names::default();
    };
    let renames = filter.rename.iter().map(|(from, to)| Rename {
        from: from.as_str().into(),
        to: to.as_str().into(),
    });
    Names {
        allow: filter.allow.as_deref().map(patterns),
        deny: patterns(&filter.deny),
        rename: renames.collect(),
    }
}

fn uris(filter: Option<&UriFilter>) -> Uris {
    filter.map_or_else(Uris::default, |filter| Uris {
        allow: filter.allow.as_deref().map(patterns),
        deny: patterns(&filter.deny),
    })
}

pub(super) fn lower(
    endpoint: &ResolvedEndpoint<'_>,
    resolved: &Resolved<'_>,
    kind: Kind,
) -> Routes {
    let mut exact = Vec::new();
    let mut open = Vec::new();
    for (index, member) in endpoint.members.iter().enumerate() {
        let (Some(id), Some(server)) = (MemberId::new(index), resolved.server(member.server))
        else {
            continue;
        };
        let surface = server.surface(kind);
        exact.extend(known_routes(id, member, server, kind));
        if surface.open {
            let prefix = member.prefix.as_str().into();
            open.push(OpenRoute { prefix, member: id });
        }
    }
    exact.sort_by(|a: &ExactRoute, b| a.exposed.cmp(&b.exposed));
    open.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    Routes {
        exact: exact.into(),
        open: open.into(),
    }
}

fn known_routes<'a>(
    id: MemberId,
    member: &'a ResolvedMember,
    server: &'a ResolvedServer<'_>,
    kind: Kind,
) -> impl Iterator<Item = ExactRoute> + 'a {
    server
        .surface(kind)
        .known
        .iter()
        .map(move |known| ExactRoute {
            exposed: format!("{}{}", member.prefix, known.local).into(),
            member: id,
            name: known.name.into(),
        })
}
