//! The plans of a course.
//!
//! Owns their texts, and what each has. Each has its own names for the tools, so that a name tells the plan.
//! The process is another one in every second plan.

use mcpc_plan::Plan;

use crate::compiled::{Compiled, Values};

/// Two servers over HTTP, one of each era, and a process.
pub(super) const SERVERS: [&str; 3] = ["web", "old", "pipe"];

pub(super) const PLANS: usize = 5;

/// The plan that has no process.
const WITHOUT_PIPE: usize = 3;

/// The plan that reaches the first server where nobody is.
pub(super) const BROKEN: usize = 4;

/// The plans with their numbers.
pub(super) fn all() -> Vec<Plan> {
    (0..PLANS)
        .map(|number| compiled(&written(number, 8080)))
        .collect()
}

/// A plan that needs another address, which only a restart can give it.
pub(super) fn elsewhere() -> Plan {
    compiled(&written(0, 9))
}

/// A plan without any server that there is.
pub(super) fn empty() -> Plan {
    compiled("version: 1\nservers: { none: { url: \"http://none.test/mcp\" } }\n")
}

pub(super) fn has_server(plan: usize, server: usize) -> bool {
    plan != WITHOUT_PIPE || SERVERS.get(server) != Some(&"pipe")
}

/// Whether a server of a plan is where it is looked for.
pub(super) fn is_reached(plan: usize, server: usize) -> bool {
    plan != BROKEN || server != 0
}

fn written(number: usize, port: u16) -> String {
    let tools = format!(
        "tools: {{ allow: [real], rename: {{ real: v{number} }} }}, timeouts: {{ first_byte: 20s, total: 30s }}"
    );
    let pipe = if number == WITHOUT_PIPE {
        String::new()
    } else {
        let argument = number % 2;
        format!("  pipe: {{ command: pipe, args: [\"{argument}\"], {tools} }}\n")
    };
    let web = if number == BROKEN { "none" } else { "web" };
    format!(
        "version: 1\nlisten: {{ address: 127.0.0.1:{port} }}\nlimits: {{ grace: 5s }}\nservers:\n\
         \x20 web: {{ url: \"http://{web}.test/mcp\", {tools} }}\n\
         \x20 old: {{ url: \"http://old.test/mcp\", {tools} }}\n{pipe}\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}__\" }} }}\n"
    )
}

fn compiled(text: &str) -> Plan {
    let text = text.as_bytes().to_vec();
    let compiled = Compiled::of("mcpc.yaml", text, Some(&Values::default()));
    let findings = compiled.diagnostics;
    compiled
        .plan
        .unwrap_or_else(|| unreachable!("{findings:?}"))
}
