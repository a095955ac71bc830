//! Configurations at random: servers with filters, endpoints with prefixes, and names to ask for.
//!
//! Owns the draw. Names are few and alike, so that they meet: most of what can go wrong between two names
//! does within a few configurations.

use serde_json::{Map, Value, json};

use crate::exchange::Dice;

/// Own names that servers may have.
pub(super) const OWN_NAMES: [&str; 12] = [
    "a", "b", "get", "get_a", "get_b", "get_a_b", "list_a", "A", "a__b", "x.y", "a_b", "one__a",
];

const PATTERNS: [&str; 8] = ["*", "get_*", "*_a", "a*", "*__*", "g*t*", "list_*", "*b"];
const SERVERS: [&str; 4] = ["one", "two", "on", "x"];
const PREFIXES: [&str; 6] = ["{server}__", "{server}_", "{server}.", "", "p_", "get_"];

/// A configuration as it is written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) servers: Vec<Server>,
    pub(super) endpoints: Vec<Shown>,
}

/// A server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) tools: Filter,
    pub(super) prompts: Filter,
}

/// Which names of a server are exposed, and as what.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) allow: Option<Vec<String>>,
    pub(super) deny: Vec<String>,
    pub(super) rename: Vec<(String, String)>,
}

/// An endpoint.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) path: String,
    pub(super) servers: Option<Vec<String>>,
    pub(super) prefix: Option<String>,
}

impl Written {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let count = 1 + dice.roll(3);
        let names = some(dice, &SERVERS, count);
        let servers = names.iter().map(|name| Server {
            name: name.clone(),
            tools: Filter::draw(dice),
            prompts: Filter::draw(dice),
        });
        let servers: Vec<Server> = servers.collect();
        let endpoints = (0..=dice.roll(2)).map(|number| Shown {
            path: format!("/{number}"),
            servers: (dice.roll(3) > 0).then(|| {
                let count = 1 + dice.roll(names.len());
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                some(dice, &names, count)
            }),
            prefix: (dice.roll(2) > 0).then(|| one(dice, &PREFIXES)),
        });
        let endpoints = endpoints.collect();
        Self { servers, endpoints }
    }

    /// The text: JSON is YAML.
    pub(super) fn text(&self) -> String {
        let servers: Map<String, Value> = self
            .servers
            .iter()
            .map(|server| {
                let name = &server.name;
                let server = json!({
                    "url": format!("http://{name}.test/mcp"),
                    "era": "modern",
                    "tools": server.tools.value(),
                    "prompts": server.prompts.value(),
                });
                (name.clone(), server)
            })
            .collect();
        let endpoints: Map<String, Value> = self
            .endpoints
            .iter()
            .enumerate()
            .map(|(number, shown)| {
                let mut endpoint = json!({ "path": shown.path });
                if let Some(servers) = &shown.servers {
                    endpoint["servers"] = json!(servers);
                }
                if let Some(prefix) = &shown.prefix {
                    endpoint["prefix"] = json!(prefix);
                }
                (format!("e{number}"), endpoint)
            })
            .collect();
        let whole = json!({ "version": 1, "servers": servers, "endpoints": endpoints });
        format!("{whole:#}\n")
    }

    /// Names to ask for on an endpoint: what it offers, what it just does not, and what is like them.
    pub(super) fn names(&self, shown: &Shown, dice: &mut Dice) -> Vec<String> {
        let mut prefixes = vec![String::new()];
        for server in &self.servers {
            let written = shown.prefix.as_deref().unwrap_or("{server}__");
            prefixes.push(written.replace("{server}", &server.name));
            prefixes.push(format!("{}__", server.name));
        }
        let mut locals: Vec<String> = OWN_NAMES.iter().map(ToString::to_string).collect();
        for server in &self.servers {
            for filter in [&server.tools, &server.prompts] {
                locals.extend(filter.rename.iter().map(|(_, new)| new.clone()));
            }
        }
        let mut names = prefixes.clone();
        for _ in 0..24 {
            let name = format!("{}{}", one(dice, &prefixes), one(dice, &locals));
            names.push(match dice.roll(8) {
                0 => name.to_uppercase(),
                1 => name.replace(['.', '-'], "_"),
                2 => name.chars().rev().collect(),
                3 => name.chars().skip(1).collect(),
                _ => name,
            });
        }
        names
    }
}

impl Filter {
    fn draw(dice: &mut Dice) -> Self {
        let allow = (dice.roll(3) > 0).then(|| Self::patterns(dice, 4));
        let deny = if dice.roll(2) > 0 {
            Self::patterns(dice, 3)
        } else {
            Vec::new()
        };
        let count = dice.roll(3);
        let renamed = some(dice, &OWN_NAMES, count);
        let rename = renamed.into_iter().map(|from| {
            let new = match dice.roll(3) {
                0 => one(dice, &OWN_NAMES),
                _ => format!("new_{}", dice.roll(4)),
            };
            (from, new)
        });
        Self {
            allow,
            deny,
            rename: rename.collect(),
        }
    }

    fn patterns(dice: &mut Dice, most: usize) -> Vec<String> {
        let pattern = |dice: &mut Dice| match dice.roll(3) {
            0 => one(dice, &PATTERNS),
            _ => one(dice, &OWN_NAMES),
        };
        (0..dice.roll(most)).map(|_| pattern(dice)).collect()
    }

    fn value(&self) -> Value {
        let rename: Map<String, Value> = self
            .rename
            .iter()
            .map(|(from, new)| (from.clone(), json!(new)))
            .collect();
        let mut value = json!({ "deny": self.deny, "rename": rename });
        if let Some(allow) = &self.allow {
            value["allow"] = json!(allow);
        }
        value
    }
}

fn one(dice: &mut Dice, of: &[impl ToString]) -> String {
    let text = of.get(dice.roll(of.len())).map(ToString::to_string);
    text.unwrap_or_default()
}

/// So many different ones.
fn some(dice: &mut Dice, of: &[&str], count: usize) -> Vec<String> {
    let mut left: Vec<&str> = of.to_vec();
    let mut taken = Vec::new();
    while taken.len() < count && !left.is_empty() {
        taken.push(left.swap_remove(dice.roll(left.len())).to_owned());
    }
    taken
}
