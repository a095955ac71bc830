//! What comes out of the compiler as a whole: plans that verify, the same bytes every time.
//!
//! Single rules have their golden cases; this holds what must be true of every plan.

use mcpc_compiler::{Input, NoVariables, Outcome, Overrides, Source, Tier, compile};
use mcpc_plan::{Plan, Transport};

fn compiled(name: &str, text: &str, overrides: Overrides) -> Outcome {
    compile(&Input {
        source: &Source::new(name, text),
        variables: &NoVariables,
        tier: Tier::Check,
        overrides,
    })
}

fn plan(name: &str, text: &str) -> Option<Plan> {
    let outcome = compiled(name, text, Overrides::default());
    assert_eq!(outcome.findings.diagnostics, []);
    outcome.plan
}

const TWO_SERVERS: &str = "\
version: 1
servers:
  time: { command: mcp-server-time, args: [--local-timezone, UTC] }
  web: { url: 'https://mcp.example.com:8443/web?x=1', tools: { allow: [search] } }
";

const TWO_SERVERS_IN_ANOTHER_ORDER: &str = "\
version: 1
servers:
  time: { args: [--local-timezone, UTC], command: mcp-server-time }
  web: { tools: { allow: [search] }, url: 'https://mcp.example.com:8443/web?x=1' }
";

#[test]
fn the_smallest_configuration_becomes_a_plan_that_verifies() {
    let text = "version: 1\nservers:\n  time: { command: mcp-server-time }\n";
    let plan = plan("mcpc.yaml", text);
    let plan = plan.as_ref();
    assert_eq!(plan.map(Plan::verify), Some(Ok(())));
    let endpoint = plan.and_then(|plan| plan.endpoints.first());
    let found = endpoint.and_then(|endpoint| endpoint.find_tool("now"));
    assert_eq!(found.map(|found| found.name), Some("now"));
    assert_eq!(
        plan.and_then(|plan| plan.place("servers.time")),
        Some("mcpc.yaml:3")
    );
}

#[test]
fn two_servers_get_prefixes_and_known_names_get_routes() {
    let plan = plan("mcpc.yaml", TWO_SERVERS);
    let endpoint = plan.as_ref().and_then(|plan| plan.endpoints.first());
    let find = |name| {
        endpoint
            .and_then(|endpoint| endpoint.find_tool(name))
            .map(|found| found.name)
    };
    assert_eq!(find("time__now"), Some("now"));
    assert_eq!(find("web__search"), Some("search"));
    assert_eq!(find("web__other"), None);
    assert_eq!(find("now"), None);
    let web = plan.as_ref().and_then(|plan| plan.upstreams.get(1));
    let authority = web.and_then(|web| match &web.transport {
        Transport::Http(http) => Some(http.authority.as_ref()),
        Transport::Stdio(_) | Transport::Replicated(_) => None,
    });
    assert_eq!(authority, Some("mcp.example.com:8443"));
}

#[test]
fn neither_the_folder_nor_the_order_of_keys_moves_a_byte() {
    let bytes = |name, text| plan(name, text).map(|plan| plan.to_bytes());
    let here = bytes("mcpc.yaml", TWO_SERVERS);
    assert!(matches!(here, Some(Ok(_))));
    assert_eq!(here, bytes("elsewhere/mcpc.yaml", TWO_SERVERS));
    assert_eq!(here, bytes("mcpc.yaml", TWO_SERVERS_IN_ANOTHER_ORDER));
}

#[test]
fn addresses_from_flags_win() {
    let overrides = Overrides {
        listen: Some(([127, 0, 0, 1], 0).into()),
        admin: Some(([127, 0, 0, 1], 9).into()),
    };
    let plan = compiled("mcpc.yaml", TWO_SERVERS, overrides).plan;
    let ports = plan.map(|plan| (plan.listener.address.port(), plan.admin.address.port()));
    assert_eq!(ports, Some((0, 9)));
}
