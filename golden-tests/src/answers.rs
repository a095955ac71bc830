//! What the servers of a case answer when they are asked, in the short form of the corpus.
//!
//! ```json
//! { "docs": { "tools": ["search"], "prompts": [], "resources": [], "templates": [], "cut": ["tools"] },
//!   "web": { "fails": "MCPC9301", "reason": "the server cannot be reached" },
//!   "slow": { "list": "tools", "fails": "MCPC9303", "reason": "the server did not begin to answer in time" },
//!   "several": [{ "tools": ["search"] }, { "tools": [] }] }
//! ```
//!
//! Owns this form. A member that it does not know fails the case, so that no slip tests nothing.

use mcpc_compiler::{Answer, Listed, Offer, Silence};
use serde_json::{Map, Value};

const MEMBERS: [&str; 8] = [
    "tools",
    "prompts",
    "resources",
    "templates",
    "cut",
    "list",
    "fails",
    "reason",
];

/// Reads the short form.
///
/// # Panics
/// It is not of that form.
pub(crate) fn answers(text: &str) -> Vec<Answer> {
    let all: Map<String, Value> =
        serde_json::from_str(text).expect("answers are a JSON object, by server");
    let mut answers = Vec::new();
    for (server, said) in all {
        let said = match said {
            Value::Array(replicas) => replicas,
            one => vec![one],
        };
        for (instance, said) in said.into_iter().enumerate() {
            answers.push(Answer {
                server: server.clone(),
                instance,
                said: read(&said),
            });
        }
    }
    answers
}

fn read(said: &Value) -> Result<Offer, Silence> {
    let said = said.as_object().expect("an answer is an object");
    for name in said.keys() {
        assert!(MEMBERS.contains(&name.as_str()), "no answer has `{name}`");
    }
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(code) = text("fails") {
        return Err(Silence {
            list: text("list"),
            code,
            reason: text("reason").unwrap_or_default(),
        });
    }
    let names = |name: &str| -> Vec<String> {
        let names = said.get(name).and_then(Value::as_array);
        let names = names.into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let cut = names("cut");
    let listed = |name: &str| Listed {
        names: names(name),
        is_cut: cut.iter().any(|it| it == name),
    };
    Ok(Offer {
        tools: listed("tools"),
        prompts: listed("prompts"),
        resources: listed("resources"),
        templates: listed("templates"),
    })
}
