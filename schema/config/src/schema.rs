//! The JSON Schema of `mcpc.yaml`, as it is published and as the types describe it.
//!
//! Owns the transforms that make errors and editor help exact. Does not validate: the compiler's
//! `shape` pass does, against exactly the published document. A test of the repository holds that
//! document to the types, so the program can read it and has no use for the code that makes it
//! (`docs/decisions/0032-code-in-memory.md`).

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

use crate::Config;

/// The schema keyword that names what a scalar stands for: `duration`, `url`, `secret` and so on.
pub const KIND_KEYWORD: &str = "x-mcpc-kind";

/// What a text matches that has a placeholder in it. The published schema takes such a text wherever the
/// compiler expands one, since what comes of it is known to nobody who reads the schema.
pub const PLACEHOLDER: &str = r"\$[<{]";

/// The same for a text that is one placeholder: all that can become a number or a truth value.
pub const PLACEHOLDER_ALONE: &str = r"^\$(<[^>]+>|\{[^}]+\})$";

/// The JSON Schema (draft 2020-12) of `mcpc.yaml` as it is published: indented, with a final line
/// break.
pub const fn schema_text() -> &'static str {
    include_str!("../../mcpc.schema.json")
}

/// The same document made from the types, for the test that keeps the published one fresh.
pub fn schema_of_types() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.transforms.push(Box::new(ExactErrors));
    let mut document = settings.into_generator().into_root_schema_for::<Config>();
    document.insert(
        "$id".to_owned(),
        json!("https://mcpc.dev/schema/mcpc.schema.json"),
    );
    // Top-level `x-…` keys hold anchors for reuse; every other unknown key is an error.
    document.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    document.to_value()
}

/// Rewrites what schemars emits into forms on which every validator is exact.
#[derive(Clone)]
struct ExactErrors;

impl Transform for ExactErrors {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(object) = schema.as_object_mut() {
            drop_null(object);
            flatten_unit_enum(object);
            take_placeholders(object);
        }
        transform_subschemas(self, schema);
    }
}

/// `Option<T>` means "may be absent", never "may be null".
fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(branches)) = object.get_mut("anyOf") else {
        return;
    };
    branches.retain(|branch| branch.get("type") != Some(&json!("null")));
    if branches.len() == 1
        && let Some(Value::Object(only)) = branches.pop()
    {
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

/// Turns `oneOf` of documented constants into one `enum` with descriptions for editors.
fn flatten_unit_enum(object: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = object.get("oneOf") else {
        return;
    };
    let pairs: Option<Vec<(Value, Value)>> = branches
        .iter()
        .map(|branch| {
            let constant = branch.get("const")?.clone();
            Some((
                constant,
                branch
                    .get("description")
                    .cloned()
                    .unwrap_or_else(|| json!("")),
            ))
        })
        .collect();
    let Some(pairs) = pairs else { return };
    let (values, texts): (Vec<Value>, Vec<Value>) = pairs.into_iter().unzip();
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(values));
    object.insert("enumDescriptions".to_owned(), Value::Array(texts));
}

/// Lets a placeholder stand for a scalar. `compiler/src/schema/read.rs` reads exactly these forms, and
/// refuses a scalar without one.
fn take_placeholders(object: &mut Map<String, Value>) {
    let kind = object.get("type").and_then(Value::as_str);
    match kind.unwrap_or_default() {
        // Bounds speak about numbers and the pattern about texts, so each error stays exact.
        kind @ ("integer" | "boolean") => {
            let kinds = json!([kind, "string"]);
            object.insert("type".to_owned(), kinds);
            object.insert("pattern".to_owned(), json!(PLACEHOLDER_ALONE));
        }
        "string" => {
            if let Some(Value::String(pattern)) = object.get_mut("pattern") {
                *pattern = format!("{pattern}|{PLACEHOLDER}");
            }
            take_placeholder_for_choice(object);
        }
        _ => {}
    }
}

/// The choices stay in an `enum`, which editors complete.
fn take_placeholder_for_choice(object: &mut Map<String, Value>) {
    let words = ["enum", "enumDescriptions"];
    let moved = words.map(|word| Some((word.to_owned(), object.remove(word)?)));
    let choice: Map<String, Value> = moved.into_iter().flatten().collect();
    if !choice.is_empty() {
        let branches = json!([choice, { "pattern": PLACEHOLDER }]);
        object.insert("anyOf".to_owned(), branches);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keywords, but for the `anyOf` of a choice: there is one list of choices, and it is named.
    fn keywords(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (key, child) in object {
                    let is_choice = child.pointer("/0/enum").is_some()
                        && child.get(1) == Some(&json!({ "pattern": PLACEHOLDER }));
                    if key == "anyOf" && is_choice {
                        continue;
                    }
                    found.push(key.clone());
                    keywords(child, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keywords(item, found)),
            _ => {}
        }
    }

    #[test]
    fn schema_has_no_keyword_that_blurs_errors() {
        let mut found = Vec::new();
        keywords(&schema_of_types(), &mut found);
        for banned in ["unevaluatedProperties", "anyOf", "oneOf", "allOf"] {
            assert!(!found.iter().any(|key| key == banned), "{banned}");
        }
    }
}
