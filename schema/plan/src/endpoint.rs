//! Endpoints and their route tables: from an exposed name to an upstream and its own name, and back.
//!
//! Every look-up has one answer: the compiler proved that no name could belong to two members.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Pattern, UpstreamId};

/// A path that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// The path.
    pub path: Box<str>,
    /// Text that clients show to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Box<str>>,
    /// The upstreams behind it, in the order of its lists.
    pub members: Box<[Member]>,
    /// Where tool names go.
    pub tools: Routes,
    /// Where prompt names go.
    pub prompts: Routes,
}

/// An index into [`Endpoint::members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberId(u16);

impl MemberId {
    /// The id at an index, if there can be that many.
    pub fn new(index: usize) -> Option<Self> {
        u16::try_from(index).ok().map(Self)
    }

    /// The index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// An upstream as one endpoint exposes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The upstream.
    pub upstream: UpstreamId,
    /// Put in front of tool and prompt names.
    pub prefix: Box<str>,
    /// Which tools are exposed, and as what.
    pub tools: Names,
    /// Which prompts are exposed, and as what.
    pub prompts: Names,
    /// Which resources are exposed.
    pub resources: Uris,
}

/// Which names of an upstream are exposed, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Only these, [sorted](Pattern::sorted); absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Box<[Pattern]>>,
    /// Not these, sorted.
    pub deny: Box<[Pattern]>,
    /// New names, sorted by the upstream's own name.
    pub rename: Box<[Rename]>,
}

/// A new name for one of an upstream's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The upstream's own name.
    pub from: Box<str>,
    /// The name after the prefix that clients see.
    pub to: Box<str>,
}

/// Which resources of an upstream are exposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uris {
    /// Only these, [sorted](Pattern::sorted); absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Box<[Pattern]>>,
    /// Not these, sorted.
    pub deny: Box<[Pattern]>,
}

/// The route table of one kind of name on one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    /// Names that are known, sorted by exposed name.
    pub exact: Box<[ExactRoute]>,
    /// Members whose names are not all known, sorted by prefix; no prefix starts another one.
    pub open: Box<[OpenRoute]>,
}

/// One known name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactRoute {
    /// The name that clients see.
    pub exposed: Box<str>,
    /// The member that owns it.
    pub member: MemberId,
    /// The upstream's own name.
    pub name: Box<str>,
}

/// A member whose names are found by prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRoute {
    /// The prefix; empty if the member is alone.
    pub prefix: Box<str>,
    /// The member.
    pub member: MemberId,
}

/// Where an exposed name goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The member that owns the name.
    pub member: MemberId,
    /// The upstream's own name.
    pub name: &'a str,
}

impl Names {
    /// Whether the upstream's own name is exposed at all.
    pub fn allows(&self, name: &str) -> bool {
        let allow = self.allow.as_deref();
        allow.is_none_or(|allow| Pattern::any_matches(allow, name))
            && !Pattern::any_matches(&self.deny, name)
    }

    /// The new name of an upstream's own name, if it has one.
    pub fn renamed(&self, name: &str) -> Option<&str> {
        let index = self
            .rename
            .binary_search_by(|rename| rename.from.as_ref().cmp(name))
            .ok()?;
        self.rename.get(index).map(|rename| rename.to.as_ref())
    }

    /// Whether an own name that is not in the table of known names is taken by its prefix. A
    /// renamed one answers to its new name only.
    pub(crate) fn takes(&self, name: &str) -> bool {
        !name.is_empty() && self.allows(name) && self.renamed(name).is_none()
    }

    /// Whether every exposed name is known: an allow list without a star.
    pub fn is_closed(&self) -> bool {
        self.allow
            .as_ref()
            .is_some_and(|allow| allow.last().is_none_or(Pattern::is_exact))
    }

    /// The name that clients see for an upstream's own name; nothing if it is not exposed. An own
    /// name that another one was given as its new name is hidden: the new name wins.
    pub fn expose<'a>(&self, prefix: &str, name: &'a str) -> Option<Cow<'a, str>> {
        if name.is_empty() || !self.allows(name) {
            return None;
        }
        let renamed = self.renamed(name);
        if renamed.is_none() && self.rename.iter().any(|rename| *rename.to == *name) {
            return None;
        }
        let local = renamed.unwrap_or(name);
        if prefix.is_empty() && local == name {
            return Some(Cow::Borrowed(name));
        }
        Some(Cow::Owned(format!("{prefix}{local}")))
    }
}

impl Uris {
    /// Whether a URI is exposed.
    pub fn allows(&self, uri: &str) -> bool {
        let allow = self.allow.as_deref();
        allow.is_none_or(|allow| Pattern::any_matches(allow, uri))
            && !Pattern::any_matches(&self.deny, uri)
    }
}

impl Routes {
    /// Where an exposed name goes. `names` gives the filter of a member for this kind of name.
    pub fn find<'a>(
        &'a self,
        exposed: &'a str,
        names: impl Fn(MemberId) -> Option<&'a Names>,
    ) -> Option<Found<'a>> {
        if let Some(route) = self.known(exposed) {
            return Some(Found {
                member: route.member,
                name: &route.name,
            });
        }
        let (route, local) = self.by_prefix(exposed)?;
        names(route.member)?.takes(local).then_some(Found {
            member: route.member,
            name: local,
        })
    }

    /// The route of a known name.
    pub(crate) fn known(&self, exposed: &str) -> Option<&ExactRoute> {
        let exact = &self.exact;
        let found = exact.binary_search_by(|route| route.exposed.as_ref().cmp(exposed));
        exact.get(found.ok()?)
    }

    /// The only prefix that the name starts with, and the rest of the name. No prefix starts
    /// another one, so that the last one that sorts before the name is the only candidate.
    pub(crate) fn by_prefix<'a>(&self, exposed: &'a str) -> Option<(&OpenRoute, &'a str)> {
        let before = |route: &OpenRoute| route.prefix.as_ref() <= exposed;
        let candidates = self.open.partition_point(before);
        let route = self.open.get(candidates.checked_sub(1)?)?;
        Some((route, exposed.strip_prefix(route.prefix.as_ref())?))
    }
}

impl Endpoint {
    /// The member with this id.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(id.index())
    }

    /// Where an exposed tool name goes.
    pub fn find_tool<'a>(&'a self, exposed: &'a str) -> Option<Found<'a>> {
        self.tools
            .find(exposed, |id| self.member(id).map(|member| &member.tools))
    }

    /// Where an exposed prompt name goes.
    pub fn find_prompt<'a>(&'a self, exposed: &'a str) -> Option<Found<'a>> {
        self.prompts
            .find(exposed, |id| self.member(id).map(|member| &member.prompts))
    }
}
