//! Writes `docs/reference/configuration.md` from the JSON Schema of `mcpc.yaml`, and `metrics.md` beside
//! it from the families of the data plane.
//!
//! Owns the layout of the pages. Does not own a word of their content: keys, types, defaults and
//! sentences come from the schema, which comes from the types in `mcpc-config`.

use std::collections::VecDeque;
use std::fmt::Write as _;

use mcpc_dataplane::{Family, Kind};
use serde_json::{Map, Value};

const HEAD: &str = "# Configuration reference

Every key of `mcpc.yaml`. This page is generated from the JSON Schema (`mcpc schema` prints it), which is
generated from the types that the compiler reads; a test fails if it is stale.

Durations, sizes, rates and shares carry their unit: `30s`, `4MiB`, `100/m`, `20%`. `$<NAME>`,
`$<NAME:-default>` and `$<NAME:?message>` in a value stand for a variable; in a secret they stay a
template in the plan and are resolved when the plan is loaded. Unknown keys are errors, except
top-level `x-…` keys, which hold anchors for reuse. An empty list means none, never all.
";

const METRICS: &str = "# Metrics reference

Every family of `/metrics` on the admin listener, in Prometheus text or, for who accepts it, OpenMetrics. This page is
generated from the families in `dataplane/src/metrics.rs`; a test fails if it is stale. What to watch is in the
[guide](../guide/operations.md#metrics).

Counters begin at zero with the process; those of a server begin at zero when an edit starts it anew. `server` is its
name in the configuration, `replica` the host, port and path of one of several.

| family | kind | labels | what it is |
| --- | --- | --- | --- |
";

/// The page of the metrics.
pub fn metrics_reference(families: &[Family]) -> String {
    let mut page = METRICS.to_owned();
    for family in families {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = family.labels.iter().map(|it| format!("`{it}`")).collect();
        let labels = labels.join(", ");
        let (name, help) = (family.name, family.help);
        // Writing into a text does not fail.
        let _infallible = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page
}

/// An object of the language, to be written as one section.
struct Section {
    title: String,
    definition: String,
}

/// The page. Takes the schema document.
pub fn configuration_reference(schema: &Value) -> String {
    let mut page = HEAD.to_owned();
    let mut places: Vec<Section> = Vec::new();
    let mut open = VecDeque::from([(String::new(), schema.clone())]);
    while let Some((path, node)) = open.pop_front() {
        for (title, object) in shapes(schema, &path, &node) {
            let definition = object.to_string();
            if places.iter().any(|place| place.definition == definition) {
                continue;
            }
            page.push_str(&section(schema, &title, &object));
            for (key, property) in properties(&object) {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                open.push_back(inner(schema, below, property));
            }
            places.push(Section { title, definition });
        }
    }
    debug_assert!(places.iter().all(|place| !place.title.is_empty()));
    page
}

/// The objects that may stand at a place: none for a scalar, several if a key tells them apart.
fn shapes(schema: &Value, path: &str, node: &Value) -> Vec<(String, Value)> {
    let node = resolved(schema, node);
    let title = if path.is_empty() {
        "The file".to_owned()
    } else {
        format!("`{path}`")
    };
    if node.get("properties").is_some() {
        return vec![(title, node.clone())];
    }
    let mut found = Vec::new();
    let mut branch = node;
    while let (Some(condition), Some(then)) = (branch.get("if"), branch.get("then")) {
        let key = condition
            .pointer("/required/0")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let object = resolved(schema, then);
        found.push((format!("{title} with `{key}`"), object.clone()));
        branch = branch.get("else").unwrap_or(&Value::Null);
    }
    found
}

/// The node that holds the keys: the entries of a map or list are described, not the collection.
fn inner(schema: &Value, path: String, node: &Value) -> (String, Value) {
    let node = resolved(schema, node);
    if let Some(items) = node.get("items") {
        return inner(schema, format!("{path}[]"), items);
    }
    match node.get("additionalProperties") {
        Some(entry) if entry.is_object() => inner(schema, format!("{path}.<name>"), entry),
        _ => (path, node.clone()),
    }
}

fn section(schema: &Value, title: &str, object: &Value) -> String {
    let mut text = format!("\n## {title}\n\n{}\n", sentence(object));
    text.push_str("\n| key | type | default | |\n| --- | --- | --- | --- |\n");
    let required: Vec<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (key, property) in properties(object) {
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(value) if !value.is_object() => format!("`{}`", plain(value)),
            _ => String::new(),
        };
        let kind = kind(schema, property);
        let about = format!("{}{}", sentence(property), choices(schema, property));
        let row = [format!("`{key}`"), kind, default, about].join(" | ");
        text.push_str(&format!("| {row} |\n").replace("|  |", "| |"));
    }
    text
}

/// What may be written, in words.
fn kind(schema: &Value, node: &Value) -> String {
    let node = resolved(schema, node);
    let text = |key: &str| node.get(key).and_then(Value::as_str);
    if let Some(kind) = text(mcpc_config::KIND_KEYWORD) {
        let example = node.pointer("/examples/0").map(plain).unwrap_or_default();
        return format!("{kind}, like `{example}`");
    }
    if choice(node).is_some() {
        return "one of".to_owned();
    }
    // A number may be a placeholder as well, which the head of the page says of every value.
    let number = node.pointer("/type/0").and_then(Value::as_str);
    match text("type").or(number) {
        Some("array") => match kind_of(schema, node.get("items")).as_str() {
            "map" => "list of maps".to_owned(),
            kind => format!("list of {kind}"),
        },
        Some("object") => match node.get("additionalProperties") {
            Some(entry) if entry.is_object() => match kind(schema, entry).as_str() {
                "map" => "maps by name".to_owned(),
                kind => format!("{kind}, by name"),
            },
            _ => "map".to_owned(),
        },
        Some("integer") => format!("number{}", range(node)),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("string") => "text".to_owned(),
        _ => "map".to_owned(),
    }
}

fn kind_of(schema: &Value, node: Option<&Value>) -> String {
    node.map_or_else(|| "anything".to_owned(), |node| kind(schema, node))
}

fn range(node: &Value) -> String {
    let bound = |key: &str| node.get(key).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) if least == most => format!(", {least}"),
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) if least > 0 => format!(", at least {least}"),
        _ => String::new(),
    }
}

/// The values of an enumeration with what each means.
fn choices(schema: &Value, property: &Value) -> String {
    let node = choice(resolved(schema, property));
    let list = |key: &str| {
        let items = node.and_then(|node| node.get(key)?.as_array());
        items.map(Vec::as_slice).unwrap_or_default()
    };
    let meanings = list("enumDescriptions");
    let named = list("enum").iter().zip(meanings).map(|(value, meaning)| {
        let meaning = plain(meaning);
        format!(" `{}`: {}", plain(value), meaning.trim())
    });
    named.collect()
}

/// Where the choices stand: beside them is what a placeholder matches.
fn choice(node: &Value) -> Option<&Value> {
    node.pointer("/anyOf/0")
        .filter(|branch| branch.get("enum").is_some())
}

fn properties(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let map = object.get("properties").and_then(Value::as_object);
    map.into_iter().flat_map(Map::iter)
}

fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let target = node.get("$ref").and_then(Value::as_str);
    target
        .and_then(|target| schema.pointer(target.trim_start_matches('#')))
        .unwrap_or(node)
}

fn sentence(node: &Value) -> String {
    let text = node.get("description").map(plain).unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// A scalar as it is written in YAML.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_key_gets_a_row_and_every_object_a_section() {
        let schema = json!({
            "properties": {
                "a": { "type": ["integer", "string"], "minimum": 1, "maximum": 9, "default": 3, "description": "A." },
                "b": { "type": "object", "additionalProperties": { "$ref": "#/$defs/B" } },
            },
            "required": ["b"],
            "$defs": { "B": { "properties": { "c": { "anyOf": [{ "enum": ["x"], "enumDescriptions": ["X."] }, {}] } } } },
        });
        let page = configuration_reference(&schema);
        for row in [
            "## The file",
            "| `a` | number, 1 to 9 | `3` | A. |",
            "| `b` | maps by name | required | |",
            "## `b.<name>`",
            "| `c` | one of | |  `x`: X. |",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
    }
}
