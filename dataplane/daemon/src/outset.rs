//! What a gateway starts with, in the log, for whoever has to know later what ran.
//!
//! Owns those lines, and that no secret is in them: of arguments, variables and headers none but the names.
//! What changes afterwards is `operation`'s to tell.

use mcpc_plan::{HttpTransport, Plan, Template, Transport, Upstream};
use tracing::debug;

/// Logs a plan: the listeners, each endpoint, each server.
pub(crate) fn tell(plan: &Plan) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    debug!(
        plan = %plan.digest,
        listen = %plan.listener.address,
        hosts = ?plan.listener.hosts,
        allow_anonymous = plan.listener.allow_anonymous,
        admin = %plan.admin.address,
        limits = ?plan.limits,
        "configured"
    );
    for endpoint in &plan.endpoints {
        let members = endpoint.members.iter();
        let servers = members.filter_map(|member| plan.upstream(member.upstream));
        let servers: Vec<&str> = servers.map(|server| &*server.name).collect();
        let place = plan.place(&format!("endpoints.{}", endpoint.name));
        debug!(
            endpoint = %endpoint.path,
            servers = servers.join(", "),
            place,
            "endpoint configured"
        );
    }
    for server in &plan.upstreams {
        tell_server(server, plan.place(&format!("servers.{}", server.name)));
    }
}

fn tell_server(server: &Upstream, place: Option<&str>) {
    let (by, variables, headers) = match &server.transport {
        Transport::Stdio(stdio) => (stdio.command.to_string(), names(&stdio.env), String::new()),
        Transport::Http(http) => (http.place(), String::new(), header_names(http)),
        Transport::Replicated(replicated) => {
            let replicas = replicated.replicas.iter();
            let places: Vec<String> = replicas.map(|replica| replica.http.place()).collect();
            let first = replicated.replicas.first();
            let headers = first.map(|replica| header_names(&replica.http));
            (
                places.join(", "),
                String::new(),
                headers.unwrap_or_default(),
            )
        }
    };
    debug!(
        server = %server.name,
        by,
        variables,
        headers,
        era = ?server.era,
        timeouts = ?server.timeouts,
        place,
        "server configured"
    );
}

fn header_names(http: &HttpTransport) -> String {
    names(&http.headers)
}

fn names(pairs: &[(Box<str>, Template)]) -> String {
    let names: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
    names.join(", ")
}
