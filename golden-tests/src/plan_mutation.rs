//! Makes broken plans out of good ones: every value of the document dropped, doubled, retyped and put in
//! another's place.
//!
//! Works on the document, not on its text: a cut text is no JSON, which the first line of the reader finds.
//! Chance comes from a fixed seed.

use serde_json::{Value, json};

use crate::mutation::Dice;

/// At most this many mutants of a plan: one change at each place first, and then several by chance.
pub fn plan_mutants(plan: &Value, most: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut places = Vec::new();
    pointers(plan, &mut String::new(), &mut places);
    let others = replacements();
    let changes = places.len() * (others.len() + 3);
    let step = (changes / most.max(1)).max(1);
    let plan = plan.clone();
    let mut dice = Dice::new(1);
    (0..most).map(move |index| {
        let mut mutant = plan.clone();
        let change = index * step;
        if change < changes {
            let place = &places[change % places.len()];
            apply(
                &mut mutant,
                place,
                change / places.len(),
                &others,
                &places,
                &mut dice,
            );
        } else {
            for _ in 0..=dice.below(4) {
                let place = &places[dice.below(places.len())];
                let kind = dice.below(others.len() + 3);
                apply(&mut mutant, place, kind, &others, &places, &mut dice);
            }
        }
        serde_json::to_vec(&mutant).expect("a document can be written")
    })
}

/// Where all values are but the document itself.
fn pointers(value: &Value, path: &mut String, found: &mut Vec<String>) {
    let mut visit = |step: &str, inner: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(&step.replace('~', "~0").replace('/', "~1"));
        found.push(path.clone());
        pointers(inner, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, inner)| visit(key, inner)),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, inner)| visit(&index.to_string(), inner));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Other types, bounds of numbers, names that are not there, and texts with a meaning elsewhere.
fn replacements() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(65_535),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("*"),
        json!("a**b*"),
        json!("0.0.0.0:1"),
        json!("[::1]:0"),
        json!("/\u{0}\u{7f}\r\n"),
        json!("\u{e9}\u{6f22}\u{1f980}"),
        json!([]),
        json!({}),
        json!([[]]),
        json!({ "text": "x" }),
    ]
}

/// Changes one value. The kinds that come after the replacements drop, double and exchange.
fn apply(
    document: &mut Value,
    place: &str,
    kind: usize,
    others: &[Value],
    places: &[String],
    dice: &mut Dice,
) {
    if let Some(other) = others.get(kind) {
        if let Some(value) = document.pointer_mut(place) {
            *value = other.clone();
        }
        return;
    }
    if kind - others.len() == 2 {
        let from = &places[dice.below(places.len())];
        let other = document.pointer(from).cloned();
        if let (Some(value), Some(other)) = (document.pointer_mut(place), other) {
            *value = other;
        }
        return;
    }
    let is_drop = kind == others.len();
    let (parent, step) = place.rsplit_once('/').unwrap_or(("", place));
    let step = step.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) if is_drop => drop(members.remove(&step)),
        // A member that is there twice is the same one; one more is none that anybody knows.
        Some(Value::Object(members)) => {
            if let Some(value) = members.get(&step).cloned() {
                members.insert(step + "s", value);
            }
        }
        Some(Value::Array(items)) => {
            let Ok(index) = step.parse::<usize>() else {
                return;
            };
            match items.get(index).cloned() {
                Some(_) if is_drop => drop(items.remove(index)),
                Some(value) => items.insert(index, value),
                None => {}
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_drop_double_retype_and_exchange() {
        let plan = json!({ "a": [{ "b": 1 }], "c/d": "x" });
        let texts: Vec<String> = plan_mutants(&plan, 1000)
            .map(|mutant| String::from_utf8(mutant).expect("JSON is text"))
            .collect();
        assert_eq!(texts.len(), 1000);
        for expected in [
            r#"{"c/d":"x"}"#,
            r#"{"a":[],"c/d":"x"}"#,
            r#"{"a":[{"b":1},{"b":1}],"c/d":"x"}"#,
            r#"{"a":[{"b":null}],"c/d":"x"}"#,
            r#"{"a":[{"b":1}],"c/d":"x","c/ds":"x"}"#,
            r#"{"a":[{"b":1}],"c/d":65535}"#,
            r#"{"a":"x","c/d":"x"}"#,
        ] {
            assert!(texts.iter().any(|text| text == expected), "{expected}");
        }
    }
}
