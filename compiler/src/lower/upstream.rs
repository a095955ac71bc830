//! Upstreams: from a server as written to how the data plane reaches it.

use mcpc_config::{
    Balance, ChildLimits, Duration, Era, HttpServer, ReplicatedServer, Server, Sharing, Size,
    StartWhen, StdioServer, Timeouts, Url,
};
use mcpc_plan::{
    Breaker, ContentKey, Health, HttpTransport, Network, Private, ProcessLimits, Replica,
    Replicated, Restart, Retry, Sandbox, Start, StdioTransport, Template, Transport, Upstream,
};

use crate::placeholder::template;
use crate::resolve::ResolvedServer;
use crate::url::UrlParts;

pub(super) fn lower(server: &ResolvedServer<'_>) -> Upstream {
    let (transport, era) = match server.server {
        Server::Stdio(stdio) => (Transport::Stdio(lower_stdio(stdio)), stdio.era),
        Server::Http(http) => (Transport::Http(lower_http(http)), http.era),
        Server::Replicated(replicated) => (lower_replicated(replicated), replicated.era),
    };
    let era = match era {
        Era::Auto => mcpc_plan::Era::Auto,
        Era::Modern => mcpc_plan::Era::Modern,
        Era::Legacy => mcpc_plan::Era::Legacy,
    };
    Upstream {
        name: server.name.into(),
        key: ContentKey::unsealed(),
        transport,
        era,
        timeouts: timeouts(server.server.timeouts()),
        breaker: server.server.breaker().map(|breaker| Breaker {
            failures: breaker.failures,
            within_ms: breaker.within.as_ms(),
            open_for_ms: breaker.open_for.as_ms(),
            open_for_ms_max: breaker.open_for_at_most.map(Duration::as_ms),
            // One may always be open, whatever the share.
            replicas_percent_max: breaker
                .replicas_at_most
                .map(|share| u32::from(share.as_number()).max(1)),
        }),
        health: server.server.health().map(|health| Health {
            every_ms: health.every.as_ms(),
            timeout_ms: health.timeout.as_ms(),
            failures: health.failures,
            successes: health.successes,
        }),
        retry: server.server.retry().and_then(retry),
        private: private(server.server),
    }
}

/// What sessions have to themselves; nothing if they share it.
fn private(server: &Server) -> Option<Private> {
    let Server::Stdio(stdio) = server else {
        return None;
    };
    let sessions = stdio.sessions.clone().unwrap_or_default();
    (stdio.sharing == Sharing::Session).then(|| Private {
        at_most: sessions.at_most,
        idle_ms: sessions.idle.map(mcpc_config::Duration::as_ms),
        spares: stdio.start.spares,
        spares_at_most: stdio.start.spares_at_most,
    })
}

/// Nothing where no call could ever be sent again.
fn retry(retry: &mcpc_config::Retry) -> Option<Retry> {
    let budget_percent = u32::from(retry.budget.as_number());
    (retry.attempts > 1 && budget_percent > 0).then_some(Retry {
        attempts: retry.attempts,
        budget_percent,
    })
}

/// Defaults give way to a shorter total; `check` has refused written parts that are longer.
fn timeouts(timeouts: &Timeouts) -> mcpc_plan::Timeouts {
    let total_ms = timeouts.total.as_ms();
    mcpc_plan::Timeouts {
        connect_ms: timeouts.connect.as_ms().min(total_ms),
        first_byte_ms: timeouts.first_byte.as_ms().min(total_ms),
        idle_ms: timeouts.idle.as_ms().min(total_ms),
        total_ms,
        list_ms: timeouts.list.as_ms().min(total_ms),
    }
}

fn lower_stdio(stdio: &StdioServer) -> StdioTransport {
    StdioTransport {
        command: stdio.command.as_str().into(),
        args: stdio.args.iter().map(|arg| arg.as_str().into()).collect(),
        env: stdio
            .env
            .iter()
            .map(|(name, value)| (name.as_str().into(), template(value.template())))
            .collect(),
        cwd: stdio.cwd.as_deref().map(Into::into),
        limits: process_limits(stdio.limits.as_ref()),
        sandbox: stdio.sandbox.as_ref().map(sandbox),
        start: Start {
            timeout_ms: stdio.start.timeout.as_ms(),
            when: match stdio.start.when {
                StartWhen::Eager => mcpc_plan::StartWhen::Eager,
                StartWhen::Lazy => mcpc_plan::StartWhen::Lazy,
            },
        },
        restart: restart(&stdio.restart),
    }
}

fn process_limits(limits: Option<&ChildLimits>) -> ProcessLimits {
    limits.map_or_else(ProcessLimits::default, |limits| ProcessLimits {
        memory_bytes: limits.memory.map(Size::as_bytes),
        open_files: limits.open_files,
        processes: limits.processes,
        cpu_percent: limits.cpu_percent,
    })
}

/// A path that is given twice is one.
fn sandbox(sandbox: &mcpc_config::Sandbox) -> Sandbox {
    let sorted = |paths: &[String]| {
        let paths: std::collections::BTreeSet<&str> = paths.iter().map(String::as_str).collect();
        paths.into_iter().map(Into::into).collect()
    };
    Sandbox {
        read: sorted(&sandbox.read),
        write: sorted(&sandbox.write),
        network: match sandbox.network {
            mcpc_config::Network::Host => Network::Host,
            mcpc_config::Network::None => Network::None,
        },
    }
}

/// A default pause gives way to a written one; `check` has refused two that contradict each other.
fn restart(restart: &mcpc_config::Restart) -> Restart {
    let default = mcpc_config::Backoff::default();
    let (from, to) = (restart.backoff.from, restart.backoff.to);
    let (from, to) = if to == default.to {
        (from, to.max(from))
    } else {
        (from.min(to), to)
    };
    Restart {
        at_most: restart.at_most,
        within_ms: restart.within.as_ms(),
        backoff_from_ms: from.as_ms(),
        backoff_to_ms: to.as_ms(),
    }
}

type Headers = Box<[(Box<str>, Template)]>;

fn headers(written: &std::collections::BTreeMap<String, mcpc_config::Secret>) -> Headers {
    let mut headers: Vec<(Box<str>, Template)> = written
        .iter()
        .map(|(name, value)| {
            let template = template(value.template());
            (name.to_ascii_lowercase().into(), template)
        })
        .collect();
    headers.sort_by(|(a, _), (b, _)| a.cmp(b));
    headers.into()
}

fn lower_http(http: &HttpServer) -> HttpTransport {
    lower_url(&http.url, headers(&http.headers))
}

/// One replica is an ordinary server, whatever its share is.
fn lower_replicated(replicated: &ReplicatedServer) -> Transport {
    let headers = headers(&replicated.headers);
    if let [replica] = replicated.replicas.as_slice() {
        return Transport::Http(lower_url(&replica.url, headers));
    }
    let replicas = replicated.replicas.iter().map(|replica| Replica {
        key: ContentKey::unsealed(),
        http: lower_url(&replica.url, headers.clone()),
        weight: replica.weight.unwrap_or(1),
        is_backup: replica.backup.unwrap_or(false),
    });
    Transport::Replicated(Replicated {
        replicas: replicas.collect(),
        balance: match replicated.balance {
            Balance::RoundRobin => mcpc_plan::Balance::RoundRobin,
            Balance::LeastRequests => mcpc_plan::Balance::LeastRequests,
            Balance::Sticky => mcpc_plan::Balance::Sticky,
        },
    })
}

fn lower_url(url: &Url, headers: Headers) -> HttpTransport {
    let url = UrlParts::of(url.as_str());
    let standard = url.scheme.default_port();
    let port = url.port.unwrap_or(standard);
    let bracketed = if url.host.contains(':') {
        format!("[{}]", url.host)
    } else {
        url.host.clone()
    };
    let authority = if port == standard {
        bracketed
    } else {
        format!("{bracketed}:{port}")
    };
    HttpTransport {
        scheme: url.scheme,
        host: url.host.into(),
        port,
        authority: authority.into(),
        path: url.path.into(),
        headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_into_what_a_request_needs() {
        for (url, host, port, authority, path) in [
            ("http://h", "h", 80, "h", "/"),
            (
                "https://H.example/Mcp",
                "h.example",
                443,
                "h.example",
                "/Mcp",
            ),
            ("https://h:443/a?b=/c:1", "h", 443, "h", "/a?b=/c:1"),
            ("http://h:443?x=1", "h", 443, "h:443", "/?x=1"),
            ("http://[::1]/x", "::1", 80, "[::1]", "/x"),
            (
                "https://[FE80::1]:8443",
                "fe80::1",
                8443,
                "[fe80::1]:8443",
                "/",
            ),
        ] {
            let lowered = Url::parse(url).map(|url| lower_url(&url, Box::default()));
            let parts = lowered.map(|http| {
                (
                    http.host.to_string(),
                    http.port,
                    http.authority.to_string(),
                    http.path.to_string(),
                )
            });
            let expected = (host.to_owned(), port, authority.to_owned(), path.to_owned());
            assert_eq!(parts, Ok(expected), "{url}");
        }
    }
}
