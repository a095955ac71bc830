//! Which names an endpoint offers under one plan and not under another: what a reload opens and closes.
//!
//! Owns the comparison, by the look-ups that calls use. A name that a plan knows is told by itself, a name
//! that only its server knows by the pattern that it would have to match; whether there is such a name
//! nobody can tell here. What is told may be more than what differs, and is never less.

use std::collections::BTreeSet;

use crate::{Endpoint, ExactRoute, Found, Member, MemberId, Names, Pattern, Plan, Routes};

/// What differs at one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// The path of the endpoint.
    pub path: String,
    /// What is offered now and was not before.
    pub newly: Vec<String>,
    /// What was offered before and is not any more.
    pub no_longer: Vec<String>,
    /// Names that now stand for something else.
    pub elsewhere: Vec<String>,
}

impl Exposure {
    /// The endpoints that do not offer the same under an old plan and under a new one, in the order of
    /// their paths.
    pub(crate) fn between(old: &Plan, new: &Plan) -> Vec<Self> {
        let all = old.endpoints.iter().chain(&new.endpoints);
        let paths: BTreeSet<&str> = all.map(|endpoint| endpoint.path.as_ref()).collect();
        let changes = paths.into_iter().map(|path| {
            let (before, after) = (Side::of(old, path), Side::of(new, path));
            let list = |set: BTreeSet<String>| set.into_iter().collect();
            Self {
                path: path.to_owned(),
                newly: list(gained(before, after)),
                no_longer: list(gained(after, before)),
                elsewhere: list(moved(before, after)),
            }
        });
        let is_change = |change: &Self| {
            let lists = [&change.newly, &change.no_longer, &change.elsewhere];
            lists.into_iter().any(|list| !list.is_empty())
        };
        changes.filter(is_change).collect()
    }
}

/// An endpoint, or that there is none.
#[derive(Clone, Copy)]
struct Side<'p>(Option<(&'p Plan, &'p Endpoint)>);

/// The kinds of names that have route tables.
#[derive(Clone, Copy)]
enum Kind {
    Tool,
    Prompt,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Tool, Self::Prompt];

    fn one(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
        }
    }

    fn routes(self, endpoint: &Endpoint) -> &Routes {
        match self {
            Self::Tool => &endpoint.tools,
            Self::Prompt => &endpoint.prompts,
        }
    }

    fn names(self, member: &Member) -> &Names {
        match self {
            Self::Tool => &member.tools,
            Self::Prompt => &member.prompts,
        }
    }
}

impl<'p> Side<'p> {
    fn of(plan: &'p Plan, path: &str) -> Self {
        let mut endpoints = plan.endpoints.iter();
        let endpoint = endpoints.find(|endpoint| *endpoint.path == *path);
        Self(endpoint.map(|endpoint| (plan, endpoint)))
    }

    fn members(self) -> impl Iterator<Item = (&'p str, &'p Member)> {
        self.0.into_iter().flat_map(|(plan, endpoint)| {
            let named = |member: &'p Member| Some((&*plan.upstream(member.upstream)?.name, member));
            endpoint.members.iter().filter_map(named)
        })
    }

    fn member(self, server: &str) -> Option<&'p Member> {
        let mut members = self.members();
        members.find_map(|(name, member)| (name == server).then_some(member))
    }

    fn exact(self, kind: Kind) -> impl Iterator<Item = &'p ExactRoute> {
        let endpoint = self.0.into_iter();
        endpoint.flat_map(move |(_, endpoint)| &kind.routes(endpoint).exact)
    }

    /// The server that a name goes to, and what the server calls it.
    fn find<'n>(self, kind: Kind, exposed: &'n str) -> Option<(&'p str, &'n str)>
    where
        'p: 'n,
    {
        let (plan, endpoint) = self.0?;
        let Found { member, name } = match kind {
            Kind::Tool => endpoint.find_tool(exposed),
            Kind::Prompt => endpoint.find_prompt(exposed),
        }?;
        let upstream = plan.upstream(endpoint.member(member)?.upstream)?;
        Some((&upstream.name, name))
    }

    /// The filter of a server whose names are not all known, if the endpoint has it under this prefix.
    fn open(self, kind: Kind, server: &str, prefix: &str) -> Option<&'p Names> {
        let (_, endpoint) = self.0?;
        let member = self.member(server)?;
        let is_it = |id: MemberId| {
            endpoint
                .member(id)
                .is_some_and(|it| std::ptr::eq(it, member))
        };
        let mut open = kind.routes(endpoint).open.iter();
        let found = open.any(|route| *route.prefix == *prefix && is_it(route.member));
        found.then(|| kind.names(member))
    }
}

/// What the second side offers and the first one does not.
fn gained(without: Side<'_>, with: Side<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in Kind::ALL {
        let is_new = |exposed: &str| {
            with.find(kind, exposed).is_some() && without.find(kind, exposed).is_none()
        };
        let exact = with.exact(kind).filter(|route| is_new(&route.exposed));
        found.extend(exact.map(|route| format!("{} `{}`", kind.one(), route.exposed)));
        for (server, member) in with.members() {
            let prefix = &member.prefix;
            let Some(names) = with.open(kind, server, prefix) else {
                continue;
            };
            let Some(before) = without.open(kind, server, prefix) else {
                // The exact ones are in the table.
                let all = patterns(names.allow.as_deref()).filter(|it| it.contains('*'));
                found.extend(all.map(|all| of_server(kind.one(), prefix, all, server)));
                continue;
            };
            let before = (before.allow.as_deref(), &*before.deny, &*before.rename);
            let wider = wider(before.0, before.1, names.allow.as_deref(), &names.deny);
            let renamed = before.2.iter().map(|rename| &*rename.from);
            for pattern in wider.into_iter().chain(renamed) {
                if pattern.contains('*') {
                    found.insert(of_server(kind.one(), prefix, pattern, server));
                } else {
                    let exposed = format!("{prefix}{pattern}");
                    if is_new(&exposed) {
                        found.insert(format!("{} `{exposed}`", kind.one()));
                    }
                }
            }
        }
    }
    for (server, member) in with.members() {
        let uris = &member.resources;
        let patterns: Vec<&str> = match without.member(server) {
            None => patterns(uris.allow.as_deref()).collect(),
            Some(before) => {
                let before = &before.resources;
                let (allow, deny) = (before.allow.as_deref(), &*before.deny);
                wider(allow, deny, uris.allow.as_deref(), &uris.deny)
            }
        };
        let told = patterns.into_iter();
        found.extend(told.map(|pattern| of_server("resource", "", pattern, server)));
    }
    found
}

/// Names that both sides offer, for different things.
fn moved(before: Side<'_>, after: Side<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in Kind::ALL {
        for route in before.exact(kind).chain(after.exact(kind)) {
            let exposed = &*route.exposed;
            let (Some(was), Some(is)) = (before.find(kind, exposed), after.find(kind, exposed))
            else {
                continue;
            };
            if was != is {
                let one = kind.one();
                found.insert(format!(
                    "{one} `{exposed}`, now `{}` of server `{}`",
                    is.1, is.0
                ));
            }
        }
    }
    found
}

/// What comes through the second filter and not through the first one: patterns that only it allows, and
/// those that only the first one denies.
fn wider<'p>(
    allow: Option<&'p [Pattern]>,
    deny: &'p [Pattern],
    new_allow: Option<&'p [Pattern]>,
    new_deny: &'p [Pattern],
) -> Vec<&'p str> {
    // The star of a pattern can only be met by a star, so this is whether one covers the other.
    let covered = |by: &[Pattern], text: &str| by.iter().any(|pattern| pattern.matches(text));
    let allowed = patterns(new_allow).filter(|text| {
        allow.is_some_and(|allow| !covered(allow, text)) && !covered(new_deny, text)
    });
    let released = deny.iter().map(Pattern::as_str);
    let released = released.filter(|text| {
        let is_closed = !text.contains('*') && new_allow.is_some_and(|it| !covered(it, text));
        !covered(new_deny, text) && !is_closed && new_allow.is_none_or(|it| !it.is_empty())
    });
    allowed.chain(released).collect()
}

/// The patterns of an allow list; without one everything is allowed.
fn patterns(allow: Option<&[Pattern]>) -> impl Iterator<Item = &str> {
    let all = allow.is_none().then_some("*");
    let listed = allow.unwrap_or_default().iter().map(Pattern::as_str);
    all.into_iter().chain(listed)
}

fn of_server(one: &str, prefix: &str, pattern: &str, server: &str) -> String {
    let many = if pattern.contains('*') { "s" } else { "" };
    format!("{one}{many} `{prefix}{pattern}` of server `{server}`")
}
