//! Cuts a URL into what is judged and what a request needs.
//!
//! Owns the cutting alone: `mcpc_config::Url` has checked the text before. What follows from the parts is
//! said by `check` and `lower`.

use mcpc_plan::Scheme;

/// The parts of a URL. `mcpc_config::Url` has checked scheme, host and port already, so that this
/// only cuts.
pub(crate) struct UrlParts {
    pub(crate) scheme: Scheme,
    /// In lower case, without brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) path: String,
}

impl UrlParts {
    pub(crate) fn of(url: &str) -> Self {
        let (scheme, rest) = match url.strip_prefix("https://") {
            Some(rest) => (Scheme::Https, rest),
            None => (Scheme::Http, url.strip_prefix("http://").unwrap_or(url)),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority
            .strip_prefix('[')
            .and_then(|v6| v6.split_once(']'))
        {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: port.and_then(|port| port.parse().ok()),
            path: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        }
    }

    /// What two URLs of one place have in common, however they are written.
    pub(crate) fn place(self) -> (bool, String, u16, String) {
        let port = self.port.unwrap_or(self.scheme.default_port());
        (self.scheme == Scheme::Https, self.host, port, self.path)
    }

    /// Whether the host is this machine, as far as its text tells.
    pub(crate) fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.');
        let address = self.host.parse::<std::net::IpAddr>();
        name == "localhost"
            || name.ends_with(".localhost")
            || address.is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_text_alone() {
        for (url, loopback) in [
            ("http://localhost:1/", true),
            ("http://127.8.0.1", true),
            ("http://[::1]", true),
            ("http://a.localhost", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
            ("http://0.0.0.0", false),
        ] {
            assert_eq!(UrlParts::of(url).is_loopback(), loopback, "{url}");
        }
    }
}
