//! Checks that a request names a host that this gateway answers for, and comes from no foreign page.
//!
//! Owns the judgement of target, Host and Origin, which keeps DNS rebinding out. One parse of one
//! authority: a target that names another host than the Host field is refused, so nothing later can
//! pick the other one. Does not route; runs after the endpoint is known, before anyone is identified.

use std::net::Ipv6Addr;

use crate::server::{Field, Head};

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may.
    Ok,
    /// No Host, two of them, or not `name[:port]`: 400.
    BadHost,
    /// The target names another host than the Host field: 400.
    TwoHosts,
    /// A host that this gateway does not answer for: 403.
    ForeignHost,
    /// A page of another origin, or an origin that is not a web origin: 403.
    ForeignOrigin,
}

/// Judges a request. `hosts` are the names besides the loopback ones, in lower case.
pub(crate) fn check(head: &Head, hosts: &[Box<str>]) -> Verdict {
    check_with(head, |host| is_known(host, hosts))
}

/// Judges a request by a rule for hosts that the caller gives.
pub(crate) fn check_with(head: &Head, knows: impl Fn(Host<'_>) -> bool) -> Verdict {
    let host = match host_of(head) {
        Ok(host) => host,
        Err(verdict) => return verdict,
    };
    if !knows(host) {
        return Verdict::ForeignHost;
    }
    let Some(origin) = head.field(Field::Origin) else {
        return Verdict::Ok;
    };
    if !head.repeats(Field::Origin) && host_of_origin(origin).is_some_and(knows) {
        Verdict::Ok
    } else {
        Verdict::ForeignOrigin
    }
}

/// A host that was taken apart; the port is of no interest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host<'a> {
    /// A name or an IPv4 address.
    Name(&'a str),
    /// An IPv6 address, however it was written.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Takes `host[:port]` apart; nothing if it is anything else.
    pub(crate) fn parse(authority: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(authority).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let sound = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return address.parse().ok().filter(|_| sound).map(Self::V6);
        }
        let name = match text.split_once(':') {
            None => text,
            Some((name, port)) if is_port(port) => name,
            Some(_) => return None,
        };
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        (!name.is_empty() && name.bytes().all(sound)).then_some(Self::Name(name))
    }

    /// Whether it is an IP address and so cannot be rebound.
    pub(crate) fn is_address(self) -> bool {
        match self {
            Self::Name(name) => name.parse::<std::net::Ipv4Addr>().is_ok(),
            Self::V6(_) => true,
        }
    }

    fn is(self, other: &str) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(other),
            Self::V6(address) => {
                let bare = other.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
                bare.unwrap_or(other).parse() == Ok(address)
            }
        }
    }
}

/// Whether a host is a loopback name or address, or one of `hosts`. Addresses cannot be rebound, and
/// on Linux a gateway may listen on any of 127.0.0.0/8.
pub(crate) fn is_known(host: Host<'_>, hosts: &[Box<str>]) -> bool {
    let loopback = match host {
        Host::Name(name) => {
            let address = name.parse::<std::net::Ipv4Addr>();
            name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
        }
        Host::V6(address) => address == Ipv6Addr::LOCALHOST,
    };
    loopback || hosts.iter().any(|known| host.is(known))
}

/// The one host that target and Host field agree on.
fn host_of(head: &Head) -> Result<Host<'_>, Verdict> {
    let parse = |authority| Host::parse(authority).ok_or(Verdict::BadHost);
    if head.repeats(Field::Host) {
        return Err(Verdict::BadHost);
    }
    let field = head.field(Field::Host).map(parse).transpose()?;
    let Some(authority) = head.authority() else {
        return field.ok_or(Verdict::BadHost);
    };
    let target = parse(authority.as_bytes())?;
    match (target, field) {
        (_, None) => Ok(target),
        (Host::Name(a), Some(Host::Name(b))) if a.eq_ignore_ascii_case(b) => Ok(target),
        (Host::V6(a), Some(Host::V6(b))) if a == b => Ok(target),
        (Host::Name(_) | Host::V6(_), Some(_)) => Err(Verdict::TwoHosts),
    }
}

/// The host of a serialized web origin: `http://host[:port]` or `https://host[:port]`.
fn host_of_origin(origin: &[u8]) -> Option<Host<'_>> {
    let authority = origin
        .strip_prefix(b"http://")
        .or_else(|| origin.strip_prefix(b"https://"))?;
    Host::parse(authority)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(hosts: &[&str], origins: &[&str]) -> Verdict {
        judge_target("/mcp", hosts, origins)
    }

    fn judge_target(target: &str, hosts: &[&str], origins: &[&str]) -> Verdict {
        let hosts = hosts.iter().map(|host| ("host", host.as_bytes()));
        let origins = origins.iter().map(|origin| ("origin", origin.as_bytes()));
        let fields: Vec<_> = hosts.chain(origins).collect();
        let head = Head::with(&format!("GET {target}"), &fields);
        let known = ["[fd00::1]".into(), "mcp.example.com".into()];
        check(&head, &known)
    }

    #[test]
    fn known_hosts_pass_with_any_port_and_case() {
        for host in [
            "localhost",
            "localhost:8080",
            "LocalHost:1",
            "127.0.0.1",
            "127.0.0.1:65535",
            "127.0.0.2:8080",
            "[::1]",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]:8080",
            "mcp.example.com",
            "MCP.Example.Com:443",
            "[fd00::1]:8080",
            "[FD00:0::1]",
        ] {
            assert_eq!(judge(&[host], &[]), Verdict::Ok, "{host}");
        }
    }

    #[test]
    fn malformed_hosts_are_bad() {
        for host in [
            "",
            ":8080",
            "localhost/",
            "localhost/x",
            "localhost?x",
            "localhost#x",
            "user@localhost",
            "localhost localhost",
            "localhost,evil.test",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:80:80",
            "localhost:65536",
            "::1",
            "[::1",
            "[::1]8080",
            "[::1]:",
            "[localhost]",
            "local%68ost",
            "local\thost",
            "http://localhost",
        ] {
            assert_eq!(judge(&[host], &[]), Verdict::BadHost, "{host:?}");
        }
        assert_eq!(judge(&[], &[]), Verdict::BadHost);
        assert_eq!(judge(&["localhost", "localhost"], &[]), Verdict::BadHost);
        let head = Head::with("GET /", &[("host", b"localhost\xe9")]);
        assert_eq!(check(&head, &[]), Verdict::BadHost);
    }

    #[test]
    fn hosts_that_are_not_ours_are_foreign() {
        for host in [
            "evil.test",
            "localhost.evil.test",
            "localhost.",
            "127.0.0.1.evil.test",
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "xmcp.example.com",
        ] {
            assert_eq!(judge(&[host], &[]), Verdict::ForeignHost, "{host}");
        }
    }

    #[test]
    fn origins_of_known_hosts_pass() {
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://localhost:6274",
            "http://127.0.0.1:1",
            "http://[::1]:3000",
            "https://mcp.example.com",
            "https://mcp.example.com:8443",
        ] {
            assert_eq!(judge(&["localhost"], &[origin]), Verdict::Ok, "{origin}");
        }
    }

    #[test]
    fn every_other_origin_is_foreign() {
        for origin in [
            "",
            "null",
            "*",
            "localhost",
            "http://",
            "http://evil.test",
            "https://localhost.evil.test",
            "http://localhost@evil.test",
            "http://evil.test@localhost",
            "http://localhost/",
            "http://localhost?x",
            "http://localhost:3000/path",
            "http://localhost:x",
            "http:/localhost",
            "http//localhost",
            "file://localhost",
            "ws://localhost",
            "chrome-extension://abcdef",
            "http://localhost http://evil.test",
            "http://localhost,http://evil.test",
            "http://127.1",
            "http://[::1",
        ] {
            assert_eq!(
                judge(&["localhost"], &[origin]),
                Verdict::ForeignOrigin,
                "{origin:?}"
            );
        }
        assert_eq!(
            judge(&["localhost"], &["http://localhost", "http://localhost"]),
            Verdict::ForeignOrigin
        );
    }

    #[test]
    fn an_absolute_target_must_agree_with_host() {
        let target = "http://localhost:8080/mcp";
        assert_eq!(judge_target(target, &["localhost:8080"], &[]), Verdict::Ok);
        assert_eq!(
            judge_target(target, &["mcp.example.com"], &[]),
            Verdict::TwoHosts
        );
        assert_eq!(
            judge_target("http://u@localhost/", &["localhost"], &[]),
            Verdict::BadHost
        );
        assert_eq!(
            judge_target("http://evil.test/", &["evil.test"], &[]),
            Verdict::ForeignHost
        );
    }
}
