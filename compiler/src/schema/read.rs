//! Reads the schema document into forms.
//!
//! Owns the list of keywords that a form can hold; any other one is an error, as is a reference
//! to nothing. Words for people and editors are passed over by name. So is the placeholder that may
//! stand for every scalar, once it is seen to be there: the passes that ask the forms come after
//! `expand`, where no placeholder is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcpc_config::{KIND_KEYWORD, PLACEHOLDER, PLACEHOLDER_ALONE, Server};
use serde_json::{Map, Value};

use super::{IntegerForm, Kind, ListForm, MapForm, Pattern, Schema, Servers, TextForm};

/// Keywords that say nothing about what is allowed.
const ANNOTATIONS: [&str; 8] = [
    "$schema",
    "$id",
    "$defs",
    "title",
    "description",
    "default",
    "examples",
    "enumDescriptions",
];

type Object = Map<String, Value>;

/// Reads the document that is published.
pub(super) fn published() -> Result<Schema, String> {
    let document = serde_json::from_str(mcpc_config::schema_text());
    read(&document.map_err(|error| error.to_string())?)
}

/// Reads a whole document.
fn read(document: &Value) -> Result<Schema, String> {
    let definitions = document.get("$defs").and_then(Value::as_object);
    let mut reader = Reader {
        definitions,
        known: BTreeMap::new(),
        open: Vec::new(),
    };
    reader.form(object(document)?)
}

struct Reader<'a> {
    definitions: Option<&'a Object>,
    known: BTreeMap<&'a str, Arc<Schema>>,
    /// The references that are being followed.
    open: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn schema(&mut self, value: &'a Value) -> Result<Arc<Schema>, String> {
        if *value == Value::Bool(true) {
            return Ok(Arc::new(Schema::Anything));
        }
        let schema = object(value)?;
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                only(schema, &["$ref"])?;
                self.definition(reference)
            }
            None => self.form(schema).map(Arc::new),
        }
    }

    fn definition(&mut self, reference: &'a str) -> Result<Arc<Schema>, String> {
        if let Some(known) = self.known.get(reference) {
            return Ok(Arc::clone(known));
        }
        let name = reference.strip_prefix("#/$defs/");
        let found = name.and_then(|name| self.definitions?.get(name));
        let found = found.ok_or_else(|| format!("`{reference}` refers to nothing"))?;
        if self.open.contains(&reference) {
            return Err(format!("`{reference}` refers to itself"));
        }
        self.open.push(reference);
        let schema = self.schema(found)?;
        self.open.pop();
        self.known.insert(reference, Arc::clone(&schema));
        Ok(schema)
    }

    fn form(&mut self, schema: &'a Object) -> Result<Schema, String> {
        match type_of(schema) {
            Some("object") if schema.contains_key("if") => self.servers(schema),
            Some("object") => self.map(schema).map(Schema::Map),
            Some("array") => self.list(schema),
            Some("string") => text(schema),
            Some("integer") => integer(schema),
            Some("boolean") => only(schema, &["type", "pattern"]).map(|()| Schema::Boolean),
            other => Err(format!("the type {other:?} has no form")),
        }
    }

    fn map(&mut self, schema: &'a Object) -> Result<MapForm, String> {
        only(
            schema,
            &[
                "type",
                "properties",
                "required",
                "additionalProperties",
                "propertyNames",
                "minProperties",
                "patternProperties",
            ],
        )?;
        let mut form = MapForm::default();
        let properties = schema.get("properties").map(object).transpose()?;
        for (name, below) in properties.into_iter().flatten() {
            let below = self.schema(below)?;
            form.properties.push((name.as_str().into(), below));
        }
        form.required = texts(schema, "required")?;
        form.others = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(below) => Some(self.schema(below)?),
            None => return Err("a map has to say which other keys it may have".to_owned()),
        };
        if let Some(names) = schema.get("propertyNames").map(object).transpose()? {
            only(names, &["pattern"])?;
            let expression = names.get("pattern").and_then(Value::as_str);
            form.names = expression.map(pattern_of).transpose()?;
        }
        form.entries_min = count(schema, "minProperties", 0)?;
        if let Some(anchors) = schema.get("patternProperties") {
            if *anchors != serde_json::json!({ "^x-": true }) {
                return Err("`patternProperties` is known for anchors only".to_owned());
            }
            form.has_anchors = true;
        }
        Ok(form)
    }

    /// `if` one shape's key is there `then` that shape, `else` the next one.
    fn servers(&mut self, schema: &'a Object) -> Result<Schema, String> {
        let mut shapes = Vec::new();
        let mut rest = schema;
        for key in Server::SHAPES {
            only(rest, &["type", "if", "then", "else"])?;
            let asked = serde_json::json!({ "type": "object", "required": [key] });
            if rest.get("if") != Some(&asked) {
                return Err(format!("a server with `{key}` is not told by that key"));
            }
            let then = rest.get("then").ok_or("`if` without `then`")?;
            match &*self.schema(then)? {
                Schema::Map(form) => shapes.push(form.clone()),
                _ => return Err("a server is a map".to_owned()),
            }
            rest = object(rest.get("else").ok_or("`if` without `else`")?)?;
        }
        let [first, ..] = Server::SHAPES;
        if *rest != *object(&serde_json::json!({ "required": [first] }))? {
            return Err("a server of no shape must be an error".to_owned());
        }
        let shapes = shapes.try_into().map_err(|_| "a shape is missing")?;
        Ok(Schema::Server(Servers::new(shapes)))
    }

    fn list(&mut self, schema: &'a Object) -> Result<Schema, String> {
        only(schema, &["type", "items", "minItems", "maxItems"])?;
        let items = schema.get("items").ok_or("a list without `items`")?;
        Ok(Schema::List(ListForm {
            items: self.schema(items)?,
            items_min: count(schema, "minItems", 0)?,
            items_max: count(schema, "maxItems", usize::MAX)?,
        }))
    }
}

/// The type of the value. A number and a truth value may also be one placeholder, and have to.
fn type_of(schema: &Object) -> Option<&str> {
    match schema.get("type")? {
        Value::String(kind) if kind != "integer" && kind != "boolean" => Some(kind),
        Value::Array(kinds) => match kinds.as_slice() {
            [Value::String(kind), text] if text == "string" && kind != "string" => {
                let is_alone = schema.get("pattern")? == PLACEHOLDER_ALONE;
                is_alone.then_some(kind)
            }
            _ => None,
        },
        _ => None,
    }
}

fn text(schema: &Object) -> Result<Schema, String> {
    only(
        schema,
        &[
            "type",
            "anyOf",
            "pattern",
            "minLength",
            "maxLength",
            KIND_KEYWORD,
        ],
    )?;
    let kind = match schema.get(KIND_KEYWORD) {
        None => Kind::Plain,
        Some(kind) => kind_of(kind).ok_or_else(|| format!("the kind {kind} is not known"))?,
    };
    Ok(Schema::Text(TextForm {
        kind,
        pattern: match (kind, own_expression(schema)?) {
            (Kind::Plain, Some(expression)) => Some(pattern_of(expression)?),
            _ => None,
        },
        chars_min: count(schema, "minLength", 0)?,
        chars_max: count(schema, "maxLength", usize::MAX)?,
        choices: choices(schema)?,
        examples: texts(schema, "examples")?,
    }))
}

/// What a text has to match that has no placeholder in it.
fn own_expression(schema: &Object) -> Result<Option<&str>, String> {
    let Some(expression) = schema.get("pattern").and_then(Value::as_str) else {
        return Ok(None);
    };
    let own = expression.strip_suffix(PLACEHOLDER);
    let own = own.and_then(|rest| rest.strip_suffix('|'));
    own.map(Some)
        .ok_or_else(|| format!("`{expression}` takes no placeholder"))
}

/// The only texts there are, beside those with a placeholder.
fn choices(schema: &Object) -> Result<Vec<Box<str>>, String> {
    let Some(branches) = schema.get("anyOf") else {
        return Ok(Vec::new());
    };
    match branches.as_array().map(Vec::as_slice) {
        Some([choice, other]) if *other == serde_json::json!({ "pattern": PLACEHOLDER }) => {
            let choice = object(choice)?;
            only(choice, &["enum"])?;
            texts(choice, "enum")
        }
        _ => Err("`anyOf` is known for choices and placeholders only".to_owned()),
    }
}

fn kind_of(name: &Value) -> Option<Kind> {
    Some(match name.as_str()? {
        "duration" => Kind::Duration,
        "size" => Kind::Size,
        "rate" => Kind::Rate,
        "percent" => Kind::Percent,
        "address" => Kind::Address,
        "url" => Kind::Url,
        "glob" => Kind::Glob,
        "host" => Kind::Host,
        "secret" => Kind::Secret,
        _ => return None,
    })
}

fn integer(schema: &Object) -> Result<Schema, String> {
    only(schema, &["type", "pattern", "format", "minimum", "maximum"])?;
    let number = |key: &str| match schema.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_i64()
            .map(Some)
            .ok_or_else(|| format!("`{key}` is no whole number")),
    };
    Ok(Schema::Integer(IntegerForm {
        min: number("minimum")?.ok_or("a number has to have a smallest value")?,
        max: number("maximum")?,
        type_max: match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => i64::from(u32::MAX),
            Some("uint64") => i64::MAX,
            other => return Err(format!("the format {other:?} is not known")),
        },
    }))
}

fn object(value: &Value) -> Result<&Object, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{value} is no schema"))
}

/// An error for a keyword that is neither one of these nor an annotation.
fn only(schema: &Object, known: &[&str]) -> Result<(), String> {
    let is_known =
        |key: &&String| known.contains(&key.as_str()) || ANNOTATIONS.contains(&key.as_str());
    match schema.keys().find(|key| !is_known(key)) {
        Some(key) => Err(format!("the keyword `{key}` has no place here")),
        None => Ok(()),
    }
}

fn pattern_of(expression: &str) -> Result<&'static Pattern, String> {
    Pattern::of(expression).ok_or_else(|| format!("no pattern reads `{expression}`"))
}

fn texts(schema: &Object, key: &str) -> Result<Vec<Box<str>>, String> {
    let items = schema.get(key).and_then(Value::as_array);
    let texts = items.into_iter().flatten().map(|item| {
        let text = item.as_str().ok_or_else(|| format!("`{key}` holds {item}"));
        text.map(Into::into)
    });
    texts.collect()
}

fn count(schema: &Object, key: &str, absent: usize) -> Result<usize, String> {
    let Some(value) = schema.get(key) else {
        return Ok(absent);
    };
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| format!("`{key}` is no count"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_of_the_language_has_a_form() {
        assert_eq!(published().map(drop), Ok(()));
    }

    #[test]
    fn what_no_form_holds_is_refused() {
        let map = json!({ "type": "object", "additionalProperties": false });
        let text = json!({ "type": "string" });
        let number = json!({
            "type": ["integer", "string"],
            "pattern": PLACEHOLDER_ALONE,
            "format": "uint32",
            "minimum": 0,
        });
        let choice = json!({
            "type": "string",
            "anyOf": [{ "enum": ["a", "b"] }, { "pattern": PLACEHOLDER }],
        });
        let list = json!({ "type": "array", "items": text });
        for sound in [&map, &text, &number, &choice, &list] {
            assert!(read(sound).is_ok(), "{sound}");
        }
        for (base, key, value) in [
            (&map, "maxProperties", json!(1)),
            (&map, "patternProperties", json!({ "^y-": true })),
            (&map, "additionalProperties", json!({ "$ref": "#/$defs/x" })),
            (&map, "propertyNames", json!({ "pattern": "^a+$" })),
            (&map, "dependentRequired", json!({})),
            (&text, "pattern", json!("^a+$")),
            (&text, "pattern", json!("^/[A-Za-z0-9._~/-]{0,255}$")),
            (&text, "enum", json!(["a", "b"])),
            (&choice, "anyOf", json!([{ "enum": ["a"] }])),
            (
                &choice,
                "anyOf",
                json!([{ "enum": ["a"] }, { "pattern": "^a$" }]),
            ),
            (&number, "type", json!("integer")),
            (&number, "type", json!(["integer", "null"])),
            (&number, "pattern", json!(PLACEHOLDER)),
            (&text, "const", json!("a")),
            (&text, "contentEncoding", json!("base64")),
            (&text, KIND_KEYWORD, json!("colour")),
            (&number, "multipleOf", json!(2)),
            (&number, "format", json!("int8")),
            (&list, "uniqueItems", json!(true)),
            (&list, "items", json!({ "anyOf": [] })),
            (&text, "type", json!(["string", "null"])),
            (&text, "type", json!("number")),
        ] {
            let mut schema = base.clone();
            schema
                .as_object_mut()
                .unwrap()
                .insert(key.to_owned(), value);
            assert!(read(&schema).is_err(), "{schema}");
        }
        let endless = json!({
            "$defs": { "a": { "type": "array", "items": { "$ref": "#/$defs/a" } } },
            "type": "array",
            "items": { "$ref": "#/$defs/a" },
        });
        assert!(read(&endless).is_err());
    }
}
