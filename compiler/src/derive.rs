//! Why an exposed tool name goes where it goes, rule by rule.
//!
//! Owns the derivation that `mcpc explain --tool` shows: each rule that mattered, with its place. Reads
//! what `resolve` and `surface` decided and decides nothing by itself; a test of the corpus holds the
//! outcome to what the plan's tables say. Does not judge who may call: identities are not run yet.

use crate::path::Path;
use crate::resolve::{Kind, Resolved, ResolvedEndpoint, ResolvedMember, ResolvedServer};
use crate::source::Span;
use crate::surface::Origin;

/// How one endpoint treats a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// The name of the endpoint.
    pub endpoint: String,
    /// Its path.
    pub path: String,
    /// Where the name goes; nothing if it is refused.
    pub route: Option<Routed>,
    /// The rules that mattered, in the order in which they apply.
    pub rules: Vec<Rule>,
}

/// Where a name goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The server.
    pub server: String,
    /// The server's own name.
    pub name: String,
    /// Whether the configuration mentions the name. Any other one is passed on, and the server may
    /// not have it.
    pub is_known: bool,
}

/// A rule that mattered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub fact: String,
    /// Where it stands; nothing for a default.
    pub place: Option<Span>,
}

/// How each endpoint treats an exposed tool name; only the one of this name or path, if one is asked for.
pub(crate) fn derive(
    resolved: &Resolved<'_>,
    tool: &str,
    endpoint: Option<&str>,
) -> Vec<Derivation> {
    let endpoints = resolved.endpoints.iter();
    let endpoints =
        endpoints.filter(|one| endpoint.is_none_or(|asked| one.name == asked || one.path == asked));
    endpoints
        .map(|endpoint| of_endpoint(resolved, endpoint, tool))
        .collect()
}

fn of_endpoint(resolved: &Resolved<'_>, endpoint: &ResolvedEndpoint<'_>, tool: &str) -> Derivation {
    let candidates: Vec<Candidate<'_>> = endpoint
        .members
        .iter()
        .filter_map(|member| Candidate::of(resolved, endpoint, member, tool))
        .collect();
    // As in the plan: a name that is mentioned comes before one that only fits a prefix.
    let owner = candidates
        .iter()
        .find(|candidate| candidate.known().is_some())
        .or_else(|| candidates.iter().find(|it| it.is_open()));
    let (route, rules) = match owner {
        Some(owner) => (Some(owner.routed()), owner.rules()),
        None if candidates.is_empty() => (None, no_prefix(resolved, endpoint, tool)),
        None => {
            let refusals = candidates.iter().flat_map(Candidate::refusal);
            (None, refusals.collect())
        }
    };
    Derivation {
        endpoint: endpoint.name.to_owned(),
        path: endpoint.path.to_owned(),
        route,
        rules,
    }
}

/// What is told at most of servers that a name does not fit.
const PREFIXES_MAX: usize = 20;

/// No server has a prefix that the name begins with.
fn no_prefix(resolved: &Resolved<'_>, endpoint: &ResolvedEndpoint<'_>, tool: &str) -> Vec<Rule> {
    let members = endpoint.members.iter().take(PREFIXES_MAX);
    let rules = members.filter_map(|member| {
        let server = resolved.server(member.server)?;
        let prefix = &member.prefix;
        Some(Rule {
            fact: format!(
                "`{tool}` does not begin with `{prefix}`, as all names of server `{}` do",
                server.name
            ),
            place: prefix_place(resolved, endpoint)
                .or_else(|| Some(resolved.member_span(endpoint, member))),
        })
    });
    rules.collect()
}

/// Where the prefix was written, if it was.
fn prefix_place(resolved: &Resolved<'_>, endpoint: &ResolvedEndpoint<'_>) -> Option<Span> {
    let path = endpoint.site().key("prefix");
    let tree = &resolved.decoded.tree;
    tree.contains(&path).then(|| resolved.span(&path))
}

/// A member whose prefix the name begins with.
struct Candidate<'a> {
    resolved: &'a Resolved<'a>,
    endpoint: &'a ResolvedEndpoint<'a>,
    member: &'a ResolvedMember,
    server: &'a ResolvedServer<'a>,
    /// The name after the prefix.
    local: &'a str,
}

impl<'a> Candidate<'a> {
    fn of(
        resolved: &'a Resolved<'a>,
        endpoint: &'a ResolvedEndpoint<'a>,
        member: &'a ResolvedMember,
        tool: &'a str,
    ) -> Option<Self> {
        Some(Self {
            resolved,
            endpoint,
            member,
            server: resolved.server(member.server)?,
            local: tool.strip_prefix(member.prefix.as_str())?,
        })
    }

    /// The server's own name, if the configuration mentions it, and where its exposed name stands.
    fn known(&self) -> Option<(&'a str, Origin)> {
        let known = self.server.tools.known.iter();
        let mut known = known.filter(|known| known.local == self.local);
        known.next().map(|known| (known.name, known.origin))
    }

    fn is_open(&self) -> bool {
        self.server.tools.could_expose(self.local)
    }

    fn routed(&self) -> Routed {
        let known = self.known();
        Routed {
            server: self.server.name.to_owned(),
            name: known.map_or(self.local, |(name, _)| name).to_owned(),
            is_known: known.is_some(),
        }
    }

    fn rules(&self) -> Vec<Rule> {
        let known = self.known();
        let name = known.map_or(self.local, |(name, _)| name);
        let mut rules = vec![self.membership()];
        rules.extend(self.prefix());
        if matches!(known, Some((_, Origin::Rename))) {
            let fact = format!("the server's `{name}` is exposed as `{}`", self.local);
            rules.push(self.rule(fact, &self.filter().key("rename").key(name)));
        }
        match &self.server.tools.allow {
            None => rules.push(Rule {
                fact: "there is no `allow`, so every name is allowed".to_owned(),
                place: None,
            }),
            Some(allow) => rules.extend(allow.matching(name).map(|index| {
                let fact = format!("`{name}` is allowed");
                self.rule(fact, &self.filter().key("allow").index(index))
            })),
        }
        rules
    }

    /// Why the name is not exposed although it fits the prefix.
    fn refusal(&self) -> Vec<Rule> {
        let (server, local) = (self.server.name, self.local);
        let surface = &self.server.tools;
        let renamed = surface.filter.and_then(|filter| filter.rename.get(local));
        let mut rules = vec![self.membership()];
        rules.extend(self.prefix());
        let why = if let Some(index) = surface.deny.matching(local) {
            let fact = format!("`{local}` of server `{server}` is denied");
            self.rule(fact, &self.filter().key("deny").index(index))
        } else if let Some(other) = renamed {
            let fact = format!("`{local}` of server `{server}` is exposed as `{other}` only");
            self.rule(fact, &self.filter().key("rename").key(local))
        } else if surface.allow.is_some() {
            let fact = format!("no entry of `allow` is about `{local}` of server `{server}`");
            self.rule(fact, &self.filter().key("allow"))
        } else {
            let fact = format!("server `{server}` exposes no such name");
            self.rule(fact, &self.server.site())
        };
        rules.push(why);
        rules
    }

    fn membership(&self) -> Rule {
        Rule {
            fact: format!("the endpoint has server `{}`", self.server.name),
            place: Some(self.resolved.member_span(self.endpoint, self.member)),
        }
    }

    fn prefix(&self) -> Option<Rule> {
        let prefix = &self.member.prefix;
        let place = prefix_place(self.resolved, self.endpoint);
        if prefix.is_empty() && place.is_none() {
            return None;
        }
        let why = match (&place, prefix.is_empty()) {
            (Some(_), false) => format!("names of the server begin with `{prefix}`"),
            (Some(_), true) => "names of the server have no prefix".to_owned(),
            (None, _) => format!(
                "names of the server begin with `{prefix}`, since there are several servers"
            ),
        };
        Some(Rule { fact: why, place })
    }

    fn filter(&self) -> Path {
        self.server.site().key(Kind::Tools.key())
    }

    fn rule(&self, fact: String, path: &Path) -> Rule {
        Rule {
            fact,
            place: Some(self.resolved.span(path)),
        }
    }
}
