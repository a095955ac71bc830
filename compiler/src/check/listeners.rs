//! Listeners that other machines can reach, and listeners that get in each other's way.

use std::net::SocketAddr;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::Resolved;
use crate::source::Span;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    let config = resolved.config();
    let listen = Listener {
        resolved,
        key: "listen",
        address: resolved.listen,
        written: config.listen.address.get(),
        allow_anonymous: config.listen.allow_anonymous,
    };
    let admin = Listener {
        resolved,
        key: "admin",
        address: resolved.admin,
        written: config.admin.address.get(),
        allow_anonymous: config.admin.allow_anonymous,
    };
    for listener in [&listen, &admin] {
        // An address that is not known yet cannot be judged.
        if !resolved.decoded.is_broken(&listener.site()) {
            listener.open_to_all(sink);
            listener.needless(sink);
        }
    }
    let is_known = !resolved.decoded.is_broken(&listen.site());
    let has_no_hosts = config.listen.hosts.is_empty()
        && !resolved.decoded.is_partial(&Path::of(["listen", "hosts"]));
    if is_known && !listen.address.ip().is_loopback() && has_no_hosts {
        listen.without_hosts(sink);
    }
    if is_known
        && !resolved.decoded.is_broken(&admin.site())
        && overlap(listen.address, admin.address)
    {
        listen.same_as(&admin, sink);
    }
}

struct Listener<'a> {
    resolved: &'a Resolved<'a>,
    key: &'static str,
    /// Where it listens.
    address: SocketAddr,
    /// What the configuration says; a flag may have won over it.
    written: SocketAddr,
    allow_anonymous: bool,
}

impl Listener<'_> {
    fn site(&self) -> Path {
        Path::of([self.key, "address"])
    }

    /// Where to point at: the address, or else its section. If a flag gave the address, neither
    /// need be there, and the finding stands at the start of the text.
    fn span(&self) -> Span {
        let tree = &self.resolved.decoded.tree;
        let section = Path::of([self.key]);
        if tree.contains(&self.site()) {
            tree.value_span(&self.site())
        } else if tree.contains(&section) {
            tree.key_span(&section)
        } else {
            Span::default()
        }
    }

    /// Says so if the address came from a flag: it stands nowhere in the text.
    fn explain(&self, diagnostic: Diagnostic) -> Diagnostic {
        if self.address == self.written {
            return diagnostic;
        }
        diagnostic.note(format!(
            "a flag or variable sets the address of `{}`",
            self.key
        ))
    }

    fn open_to_all(&self, sink: &mut Sink) {
        let permission = Path::of([self.key, "allow_anonymous"]);
        let is_permitted = self.allow_anonymous || self.resolved.decoded.is_broken(&permission);
        if self.address.ip().is_loopback() || is_permitted {
            return;
        }
        let message = format!("`{}` lets other machines in without identity", self.key);
        let span = self.span();
        let label = "not a loopback address";
        let diagnostic = Diagnostic::error(codes::OPEN_LISTENER, message, span, label).help(format!(
            "listen on `127.0.0.1:{}`, or say that it is meant: `allow_anonymous: true` under `{}`",
            self.address.port(),
            self.key
        ));
        sink.report(self.explain(diagnostic));
    }

    fn without_hosts(&self, sink: &mut Sink) {
        let span = self.span();
        let label = "clients reach this under a name that would be refused";
        let message = "`listen` is open to other machines and accepts no host name";
        let diagnostic = Diagnostic::error(codes::NO_HOSTS, message, span, label)
            .help("list the names that clients use: `hosts: [mcp.example.com]` under `listen`")
            .note("`Host` and `Origin` are checked so that no web page can reach the gateway through a browser");
        sink.report(self.explain(diagnostic));
    }

    fn needless(&self, sink: &mut Sink) {
        if !self.allow_anonymous
            || !self.written.ip().is_loopback()
            || !self.address.ip().is_loopback()
        {
            return;
        }
        let place = Path::of([self.key, "allow_anonymous"]);
        let message = "`allow_anonymous` is not needed on a loopback address";
        let span = self.resolved.key_span(&place);
        let label = "would open the listener as soon as the address changes";
        let diagnostic =
            Diagnostic::warning(codes::NEEDLESS_ANONYMOUS, message, span, label).help("remove it");
        let reach = "only this machine can connect";
        sink.report(self.resolved.and(diagnostic, &self.site(), reach));
    }

    fn same_as(&self, other: &Self, sink: &mut Sink) {
        let message = format!("`{}` and `{}` use the same port", self.key, other.key);
        let is_written = self.resolved.decoded.tree.contains(&other.site());
        // The finding stands at an address that was written, if there is one.
        let (here, there) = if is_written {
            (other, self)
        } else {
            (self, other)
        };
        let uses = |listener: &Self| format!("`{}` uses {}", listener.key, listener.address);
        let diagnostic = Diagnostic::error(codes::SAME_PORT, message, here.span(), uses(here))
            .help("give one of them another port; `0` picks a free one");
        let diagnostic = self.resolved.and(diagnostic, &there.site(), &uses(there));
        sink.report(self.explain(other.explain(diagnostic)));
    }
}

/// Whether two listeners cannot both be bound.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_any || one.ip() == other.ip())
}
