//! The pass that turns names into ids: which server an endpoint means, which prefix it gets, which
//! role, endpoint or server a rule or test speaks of.
//!
//! Owns the 5xxx codes and [`Resolved`], the whole configuration as meant: defaults filled in,
//! servers sorted by name, endpoints sorted by path. Does not judge whether the whole makes sense:
//! `check` does. A name whose definition is already in error is passed over in silence.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mcpc_config::{Config, Endpoint, Server};

use crate::codes;
use crate::decode::Decoded;
use crate::diagnostic::{Diagnostic, Sink};
use crate::exposure;
use crate::path::Path;
use crate::references::{References, broken_count};
use crate::surface::Surface;
use crate::{Overrides, Span};

/// The configuration as meant. Invariant: every id is in range.
#[derive(Debug)]
pub(crate) struct Resolved<'a> {
    /// What was written, and where.
    pub(crate) decoded: &'a Decoded,
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Where operators connect.
    pub(crate) admin: SocketAddr,
    /// The servers, sorted by name.
    pub(crate) servers: Vec<ResolvedServer<'a>>,
    /// The endpoints, sorted by path.
    pub(crate) endpoints: Vec<ResolvedEndpoint<'a>>,
}

/// An index into [`Resolved::servers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerId(usize);

/// A server and what is known of its names.
#[derive(Debug)]
pub(crate) struct ResolvedServer<'a> {
    pub(crate) name: &'a str,
    pub(crate) server: &'a Server,
    pub(crate) tools: Surface<'a>,
    pub(crate) prompts: Surface<'a>,
}

/// An endpoint and its members, in the order of its lists.
#[derive(Debug)]
pub(crate) struct ResolvedEndpoint<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
    /// What was written; nothing for the endpoint that there is by default.
    pub(crate) written: Option<&'a Endpoint>,
    pub(crate) members: Vec<ResolvedMember>,
}

/// A server as one endpoint exposes it.
#[derive(Debug)]
pub(crate) struct ResolvedMember {
    pub(crate) server: ServerId,
    pub(crate) prefix: String,
    /// Its index in the endpoint's `servers`, if the endpoint lists them.
    pub(crate) listed: Option<usize>,
}

/// The kinds of names that have prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Tools,
    Prompts,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Tools, Self::Prompts];

    /// The key of the filter.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
        }
    }

    /// One of them, in messages.
    pub(crate) const fn one(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Prompts => "prompt",
        }
    }
}

impl ResolvedServer<'_> {
    /// The names of a kind.
    pub(crate) fn surface(&self, kind: Kind) -> &Surface<'_> {
        match kind {
            Kind::Tools => &self.tools,
            Kind::Prompts => &self.prompts,
        }
    }

    /// Where the server was written.
    pub(crate) fn site(&self) -> Path {
        Path::root().key("servers").key(self.name)
    }
}

impl ServerId {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

impl<'a> Resolved<'a> {
    /// The configuration as it was written.
    pub(crate) fn config(&self) -> &'a Config {
        &self.decoded.config
    }

    /// The server of a member.
    pub(crate) fn server(&self, id: ServerId) -> Option<&ResolvedServer<'a>> {
        self.servers.get(id.0)
    }

    /// The id of a server by name.
    pub(crate) fn server_id(&self, name: &str) -> Option<ServerId> {
        let found = self
            .servers
            .binary_search_by(|server| server.name.cmp(name));
        found.ok().map(ServerId)
    }

    /// Where a key or item stands; its nearest ancestor if it was not written.
    pub(crate) fn span(&self, path: &Path) -> Span {
        self.decoded.tree.value_span(path)
    }

    /// Points at another value, or says that it is a default: that stands nowhere.
    pub(crate) fn and(&self, diagnostic: Diagnostic, path: &Path, text: &str) -> Diagnostic {
        if self.decoded.tree.contains(path) {
            diagnostic.and(self.span(path), text)
        } else {
            diagnostic.note(format!("by default {text}"))
        }
    }

    /// Where a key itself stands, without its value.
    pub(crate) fn key_span(&self, path: &Path) -> Span {
        self.decoded.tree.key_span(path)
    }

    /// Where a member is named: in the endpoint's list, or else where the server is defined.
    pub(crate) fn member_span(
        &self,
        endpoint: &ResolvedEndpoint<'_>,
        member: &ResolvedMember,
    ) -> Span {
        if let Some(index) = member.listed {
            return self.span(&endpoint.site().key("servers").index(index));
        }
        match self.server(member.server) {
            Some(server) => self.key_span(&server.site()),
            None => self.span(&Path::root()),
        }
    }
}

impl ResolvedEndpoint<'_> {
    /// Where the endpoint was written, if it was.
    pub(crate) fn site(&self) -> Path {
        Path::root().key("endpoints").key(self.name)
    }
}

/// Turns names into ids. Nothing, if that would take more than there is room for.
pub(crate) fn resolve<'a>(
    decoded: &'a Decoded,
    overrides: Overrides,
    sink: &mut Sink,
) -> Option<Resolved<'a>> {
    if !exposure::is_bounded(decoded, sink) {
        return None;
    }
    let config = &decoded.config;
    let servers = config.servers.iter();
    let servers = servers.map(|(name, server)| resolve_server(name, server, decoded));
    let servers: Vec<_> = servers.collect();
    let mut references = References::new(decoded);
    let mut endpoints = match &config.endpoints {
        Some(written) => resolve_endpoints(written, decoded, &mut references, sink),
        // Which endpoints there are is not known.
        None if decoded.is_broken(&Path::of(["endpoints"])) => Vec::new(),
        None => vec![default_endpoint(decoded)],
    };
    refuse_shared_paths(&endpoints, decoded, sink);
    endpoints.sort_by_key(|endpoint| endpoint.path);
    references.check_access(sink);
    references.check_tests(sink);
    Some(Resolved {
        decoded,
        listen: overrides
            .listen
            .unwrap_or_else(|| config.listen.address.get()),
        admin: overrides
            .admin
            .unwrap_or_else(|| config.admin.address.get()),
        servers,
        endpoints,
    })
}

fn resolve_server<'a>(name: &'a str, server: &'a Server, decoded: &Decoded) -> ResolvedServer<'a> {
    let surface = |filter, kind: Kind| {
        // Most configurations are sound, and have many servers: no path is made for nothing.
        let site = || Path::of(["servers", name, kind.key()]);
        if decoded.has_errors() && decoded.is_partial(&site()) {
            Surface::partial(filter)
        } else {
            Surface::new(filter)
        }
    };
    ResolvedServer {
        name,
        server,
        tools: surface(server.tools(), Kind::Tools),
        prompts: surface(server.prompts(), Kind::Prompts),
    }
}

/// Every server at `/mcp`.
fn default_endpoint(decoded: &Decoded) -> ResolvedEndpoint<'_> {
    ResolvedEndpoint {
        name: "main",
        path: "/mcp",
        written: None,
        members: all_members(decoded, None),
    }
}

fn all_members(decoded: &Decoded, prefix: Option<&str>) -> Vec<ResolvedMember> {
    // A server that is in error counts too: the prefix of the others must not depend on its repair.
    let several = decoded.config.servers.len() + broken_count(decoded, "servers") > 1;
    let members = decoded.config.servers.keys().enumerate();
    members
        .map(|(index, name)| ResolvedMember {
            server: ServerId(index),
            prefix: expand_prefix(prefix, name, several),
            listed: None,
        })
        .collect()
}

fn expand_prefix(prefix: Option<&str>, server: &str, several: bool) -> String {
    match prefix {
        Some(prefix) => prefix.replace("{server}", server),
        None if several => format!("{server}__"),
        None => String::new(),
    }
}

fn resolve_endpoints<'a>(
    written: &'a BTreeMap<String, Endpoint>,
    decoded: &'a Decoded,
    references: &mut References<'a>,
    sink: &mut Sink,
) -> Vec<ResolvedEndpoint<'a>> {
    let ids: BTreeMap<&str, ServerId> = (decoded.config.servers.keys().enumerate())
        .map(|(index, name)| (name.as_str(), ServerId(index)))
        .collect();
    let endpoint = |(name, endpoint): (&'a String, &'a Endpoint)| {
        let site = Path::of(["endpoints", name]);
        let servers = site.key("servers");
        // A prefix that is not known is taken for one that tells servers apart.
        let prefix = if decoded.is_broken(&site.key("prefix")) {
            Some("{server}__")
        } else {
            endpoint.prefix.as_deref()
        };
        let members = match &endpoint.servers {
            // Which servers are meant is not known.
            None if decoded.is_broken(&servers) => Vec::new(),
            None => all_members(decoded, prefix),
            Some(listed) => {
                listed_members(listed, prefix, &ids, (decoded, &servers), references, sink)
            }
        };
        ResolvedEndpoint {
            name,
            path: &endpoint.path,
            written: Some(endpoint),
            members,
        }
    };
    written.iter().map(endpoint).collect()
}

fn listed_members<'a>(
    listed: &'a [String],
    prefix: Option<&str>,
    ids: &BTreeMap<&str, ServerId>,
    (decoded, site): (&'a Decoded, &Path),
    references: &mut References<'a>,
    sink: &mut Sink,
) -> Vec<ResolvedMember> {
    let mut members = Vec::with_capacity(listed.len());
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    // A name that is in error counts too, as in `all_members`.
    let several = listed.len() > 1 || decoded.is_partial(site);
    for (index, name) in listed.iter().enumerate() {
        let place = |index| decoded.tree.value_span(&site.index(index));
        if let Some(before) = first.get(name.as_str()) {
            let message = format!("server `{name}` is listed twice in one endpoint");
            let diagnostic = Diagnostic::error(
                codes::DUPLICATE_SERVER,
                message,
                place(index),
                "listed again here",
            )
            .and(place(*before), "first listed here")
            .help("remove one of the two");
            sink.report(diagnostic);
            continue;
        }
        first.insert(name, index);
        match ids.get(name.as_str()) {
            Some(server) => members.push(ResolvedMember {
                server: *server,
                prefix: expand_prefix(prefix, name, several),
                listed: Some(index),
            }),
            None => references.unknown_server(name, &site.index(index), sink),
        }
    }
    members
}

/// A path belongs to one endpoint. Two that differ in a final `/` only are refused as well: people
/// and clients add and drop it freely, and would reach the other endpoint.
fn refuse_shared_paths(endpoints: &[ResolvedEndpoint<'_>], decoded: &Decoded, sink: &mut Sink) {
    let mut first: BTreeMap<&str, &ResolvedEndpoint<'_>> = BTreeMap::new();
    let is_known =
        |endpoint: &&ResolvedEndpoint<'_>| !decoded.is_broken(&endpoint.site().key("path"));
    for endpoint in endpoints.iter().filter(is_known) {
        let path = endpoint.path.trim_end_matches('/');
        let Some(before) = first.get(path) else {
            first.insert(path, endpoint);
            continue;
        };
        let place =
            |endpoint: &ResolvedEndpoint<'_>| decoded.tree.value_span(&endpoint.site().key("path"));
        let message = format!(
            "endpoints `{}` and `{}` have the same path",
            before.name, endpoint.name
        );
        let label = format!("also the path of `{}`", endpoint.name);
        let diagnostic = Diagnostic::error(codes::DUPLICATE_PATH, message, place(endpoint), label)
            .and(place(before), format!("the path of `{}`", before.name))
            .help("give each endpoint its own path, for example `/mcp/NAME`");
        sink.report(diagnostic);
    }
}
