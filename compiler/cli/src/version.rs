//! `mcpc version`: what this build is, which plans it reads, which revisions of MCP it speaks.

use serde_json::json;

use crate::terminal::print;
use crate::{Exit, VERSION};

/// The revisions of MCP that the data plane speaks, newest first.
const REVISIONS: [&str; 5] = [
    "2026-07-28",
    "2025-11-25",
    "2025-06-18",
    "2025-03-26",
    "2024-11-05",
];

pub(crate) fn run(as_json: bool) -> Exit {
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let text = if as_json {
        let document = json!({
            "version": VERSION,
            "plan_format": mcpc_plan::FORMAT,
            "protocol_revisions": REVISIONS,
            "target": target,
        });
        format!("{document:#}\n")
    } else {
        format!(
            "mcpc {VERSION} ({target})\nplan format {}\nMCP {}\n",
            mcpc_plan::FORMAT,
            REVISIONS.join(", ")
        )
    };
    print(text.as_bytes())
}
