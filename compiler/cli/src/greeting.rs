//! What `mcpc run` says when it serves: where, what, and a command that shows it works.
//!
//! What is exposed is asked of the gateway itself, over its own listener, as any client would. It
//! runs beside the gateway and gives up after a few seconds: a slow server delays a line of text. An endpoint with a server that
//! starts with its first call is not asked, since the question would be that call.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mcpc_plan::{Endpoint, Plan, StartWhen, Transport};
use serde_json::{Value, json};

use crate::terminal::say;
use mcpc_daemon::http;

/// How long the servers have until they are left out of the greeting.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is counted, and under which name a list holds it.
const LISTS: [(&str, &str, &str); 3] = [
    ("tools/list", "tools", "tool"),
    ("prompts/list", "prompts", "prompt"),
    ("resources/list", "resources", "resource"),
];

/// Prints the greeting; the part that needs answers follows when they are there.
pub(crate) fn greet(address: SocketAddr, admin: SocketAddr, plan: &Plan) {
    let address = reachable(address);
    let mut text = format!(
        "\nmcpc serves plan {}\n  admin     http://{}/status\n",
        plan.digest.short(),
        reachable(admin)
    );
    for endpoint in &plan.endpoints {
        let _infallible = writeln!(text, "  endpoint  http://{address}{}", endpoint.path);
    }
    if let Some(first) = plan.endpoints.first() {
        let _infallible = write!(text, "\nTry it:\n{}\n", curl(address, &first.path));
    }
    say(&text);
    let endpoints: Box<[_]> = plan
        .endpoints
        .iter()
        .map(|it| (it.clone(), asleep(plan, it)))
        .collect();
    let spawned = std::thread::Builder::new()
        .name("greeting".to_owned())
        .spawn(move || say(&exposed(address, &endpoints)));
    if spawned.is_err() {
        say("what is exposed is not shown: no thread could be started\n");
    }
}

/// An address that listens everywhere is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A `tools/list` of 2026-07-28, ready to be pasted.
fn curl(address: SocketAddr, path: &str) -> String {
    let body = request("tools/list");
    format!(
        "  curl -s http://{address}{path} -H 'Content-Type: application/json' \\\n    \
         -H 'Accept: application/json, text/event-stream' \\\n    \
         -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/list' \\\n    -d '{body}'"
    )
}

fn request(method: &str) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "mcpc", "version": crate::VERSION },
        } },
    })
}

/// The servers of an endpoint that start with their first call.
fn asleep(plan: &Plan, endpoint: &Endpoint) -> Vec<Box<str>> {
    let members = endpoint.members.iter();
    let servers = members.filter_map(|member| plan.upstreams.get(member.upstream.index()));
    let asleep = servers.filter(|server| match &server.transport {
        Transport::Stdio(process) => process.start.when == StartWhen::Lazy,
        Transport::Http(_) | Transport::Replicated(_) => false,
    });
    asleep.map(|server| server.name.clone()).collect()
}

/// What each endpoint exposes, as far as its servers have answered in time.
fn exposed(address: SocketAddr, endpoints: &[(Endpoint, Vec<Box<str>>)]) -> String {
    let mut text = String::from("\n");
    for (endpoint, asleep) in endpoints {
        if !asleep.is_empty() {
            let names = asleep.join(", ");
            let _infallible = writeln!(
                text,
                "  {} is not asked yet: {names} starts with the first call",
                endpoint.path
            );
            continue;
        }
        let counts = LISTS.map(|(method, key, noun)| {
            let count = count(address, &endpoint.path, method, key);
            match count {
                Some(1) => format!("1 {noun}"),
                Some(count) => format!("{count} {noun}s"),
                None => format!("{noun}s not known yet"),
            }
        });
        let _infallible = writeln!(text, "  {} exposes {}", endpoint.path, counts.join(", "));
    }
    text
}

fn count(address: SocketAddr, path: &str, method: &'static str, key: &str) -> Option<usize> {
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    let body = request(method).to_string();
    let reply = http::post(address, path, &headers, body, PATIENCE).ok()?;
    let reply: Value = serde_json::from_slice(&reply.body).ok()?;
    reply.get("result")?.get(key)?.as_array().map(Vec::len)
}
