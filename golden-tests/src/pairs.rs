//! Plants mistakes into good configurations, one at a time and two at once, to see that neither
//! hides the other.
//!
//! Owns the mistakes: each is one change at one node of the configuration, taken as JSON. Whether a
//! change is a mistake is for the compiler to say: one that it finds nothing about is left out.

use serde_json::{Value, json};

/// One change at one node.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where: a JSON pointer to the node, or to the place of a key that is added.
    pub node: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Set(Value),
    Remove,
    Rename(String),
}

/// Every change that is made to a configuration.
pub fn changes(whole: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    walk(whole, "", &mut found);
    found
}

/// The configuration after a change.
pub fn changed(whole: &Value, change: &Change) -> Value {
    let mut whole = whole.clone();
    let (above, key) = change.node.rsplit_once('/').unwrap_or_default();
    let key = unescaped(key);
    match (whole.pointer_mut(above), &change.kind) {
        (Some(Value::Object(map)), Kind::Set(value)) => drop(map.insert(key, value.clone())),
        (Some(Value::Object(map)), Kind::Remove) => drop(map.shift_remove(&key)),
        (Some(Value::Object(map)), Kind::Rename(name)) => {
            if let Some(value) = map.shift_remove(&key) {
                map.insert(name.clone(), value);
            }
        }
        (Some(Value::Array(items)), Kind::Set(value)) => {
            if let Some(item) = key.parse().ok().and_then(|at: usize| items.get_mut(at)) {
                *item = value.clone();
            }
        }
        _ => {}
    }
    whole
}

/// Whether neither of two changes is made inside the value of the other.
pub fn are_apart(one: &Change, other: &Change) -> bool {
    let is_within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !is_within(&one.node, &other.node) && !is_within(&other.node, &one.node)
}

fn walk(value: &Value, at: &str, found: &mut Vec<Change>) {
    let set = |node: String, value: Value| Change {
        node,
        kind: Kind::Set(value),
    };
    match value {
        Value::Object(map) => {
            found.push(set(format!("{at}/zz"), json!(1)));
            for (key, below) in map {
                let node = format!("{at}/{}", escaped(key));
                let kinds = [Kind::Remove, Kind::Rename(misspelt(key))];
                found.extend(kinds.map(|kind| Change {
                    node: node.clone(),
                    kind,
                }));
                found.extend(telling(key, below).map(|value| set(node.clone(), value)));
                walk(below, &node, found);
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                walk(below, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
    if !at.is_empty() {
        let values = [
            json!(null),
            json!(-1),
            json!("zz zz"),
            json!({ "zz": 1 }),
            json!([[]]),
        ];
        found.extend(values.map(|value| set(at.to_owned(), value)));
    }
}

/// The first two characters in each other's place, and one more at the end of a short name.
fn misspelt(key: &str) -> String {
    let mut characters: Vec<char> = key.chars().collect();
    if characters.len() > 2 {
        characters.swap(0, 1);
    } else {
        characters.push('z');
    }
    characters.into_iter().collect()
}

/// Values that fit the schema and contradict the rest of the configuration.
fn telling(key: &str, value: &Value) -> impl Iterator<Item = Value> + use<> {
    let more = |item: Value| {
        let mut items = value.as_array().cloned().unwrap_or_default();
        items.push(item);
        Value::Array(items)
    };
    let with = |name: &str, text: &str| {
        let mut map = value.as_object().cloned().unwrap_or_default();
        map.insert(name.to_owned(), json!(text));
        Value::Object(map)
    };
    let values = match key {
        "connect" | "first_byte" | "idle" | "list" => vec![json!("300d")],
        "total" => vec![json!("1ms"), json!("0s")],
        "address" => vec![json!("0.0.0.0:80")],
        "path" => vec![json!("/a//b")],
        "servers" if value.is_array() => vec![more(json!("nobody")), json!([])],
        "allow" => vec![more(json!("**")), more(json!("zz_*"))],
        "deny" => vec![more(json!("*"))],
        "rename" => vec![with("zz", "zz"), with("zz", "z z")],
        "headers" => vec![with("Host", "h"), with("Authorization", "Bearer abc")],
        "env" => vec![with("API_TOKEN", "abc"), with("1", "x")],
        _ => Vec::new(),
    };
    values.into_iter()
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_touches_one_node() {
        let whole = json!({ "a": { "b/c": [1, 2] }, "url": 3 });
        let change = |node: &str, kind| Change {
            node: node.to_owned(),
            kind,
        };
        let set = change("/a/b~1c/1", Kind::Set(json!(5)));
        let expected = json!({ "a": { "b/c": [1, 5] }, "url": 3 });
        assert_eq!(changed(&whole, &set), expected);
        let rename = change("/url", Kind::Rename(misspelt("url")));
        let expected = json!({ "a": { "b/c": [1, 2] }, "rul": 3 });
        assert_eq!(changed(&whole, &rename), expected);
        assert!(are_apart(&set, &rename));
        assert!(!are_apart(&set, &change("/a", Kind::Remove)));
        assert!(changes(&whole).len() > 20);
    }
}
