//! The `notes` server: notes in memory, each of them a resource.
//!
//! Owns the notes and what can be done with them. Speaks no protocol: `session.rs` does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::rpc::RpcError;
use super::turn::Turn;
use super::{Arguments, Called, CompletionOf, Demo};

const NOTES_LIMIT: usize = 1000;
const TITLE_CHARS_LIMIT: usize = 200;
const TEXT_BYTES_LIMIT: usize = 64 << 10;
const TEMPLATE: &str = "note://{id}";

/// Notes, kept until the process ends. Starts with one, so that there is something to list.
pub(super) struct Notes {
    book: Mutex<Book>,
}

struct Book {
    notes: BTreeMap<u64, Note>,
    /// Ids are never used twice, so that a URI never names another note later.
    next_id: u64,
}

struct Note {
    title: String,
    text: String,
}

impl Default for Notes {
    fn default() -> Self {
        let welcome = Note {
            title: "Welcome".to_owned(),
            text: "This note came through the gateway. Add another one with `add_note`.".to_owned(),
        };
        Self {
            book: Mutex::new(Book {
                notes: BTreeMap::from([(1, welcome)]),
                next_id: 2,
            }),
        }
    }
}

impl Demo for Notes {
    const NAME: &'static str = "notes";
    const TITLE: &'static str = "Notes";
    const INSTRUCTIONS: &'static str =
        "Keeps short notes in memory. Each note is also a resource, `note://ID`.";
    const READ_TTL_MS: u64 = 60_000;

    fn tools(&self) -> Vec<Value> {
        tool_definitions()
    }

    fn is_slow(&self, _tool: &str) -> bool {
        false
    }

    fn call(&self, tool: &str, arguments: &Arguments, turn: &Turn) -> Result<Called, RpcError> {
        let called = match tool {
            "add_note" => self.add(arguments, turn),
            "list_notes" => Ok(self.list("")),
            "search_notes" => text(arguments, "query").map(|query| self.list(query)),
            "delete_note" => self.delete(arguments, turn),
            _ => {
                let message = format!("unknown tool: {tool}");
                return Err(RpcError::invalid_params(message));
            }
        };
        Ok(called.unwrap_or_else(Called::Failed))
    }

    fn prompts(&self) -> Vec<Value> {
        vec![json!({
            "name": "summarize",
            "title": "Summarize a note",
            "description": "Asks for a summary of one note.",
            "arguments": [{
                "name": "note",
                "description": "The id of the note.",
                "required": true,
            }],
        })]
    }

    fn prompt(
        &self,
        prompt: &str,
        arguments: &Arguments,
    ) -> Result<(&'static str, String), RpcError> {
        if prompt != "summarize" {
            return Err(RpcError::invalid_params(format!(
                "unknown prompt: {prompt}"
            )));
        }
        let id = text(arguments, "note").map_err(RpcError::invalid_params)?;
        let book = self.book();
        let note = id.parse().ok().and_then(|id: u64| book.notes.get(&id));
        let note = note.ok_or_else(|| RpcError::invalid_params("no such note"))?;
        let text = format!(
            "Summarize this note in one sentence.\n\n# {}\n\n{}",
            note.title, note.text
        );
        Ok(("A summary of one note.", text))
    }

    fn resources(&self) -> Vec<Value> {
        let resource = |(id, note): (&u64, &Note)| {
            json!({
                "uri": format!("note://{id}"),
                "name": format!("note-{id}"),
                "title": note.title,
                "mimeType": "text/plain",
                "size": note.text.len(),
            })
        };
        self.book().notes.iter().map(resource).collect()
    }

    fn templates(&self) -> Vec<Value> {
        vec![json!({
            "uriTemplate": TEMPLATE,
            "name": "note",
            "title": "A note",
            "description": "A note by its id.",
            "mimeType": "text/plain",
        })]
    }

    fn read(&self, uri: &str) -> Option<String> {
        let id: u64 = uri.strip_prefix("note://")?.parse().ok()?;
        self.book().notes.get(&id).map(|note| note.text.clone())
    }

    fn values_of(&self, of: &CompletionOf<'_>) -> Option<Vec<String>> {
        let is_id = matches!(
            of,
            CompletionOf::Prompt {
                name: "summarize",
                argument: "note"
            } | CompletionOf::Template {
                uri: TEMPLATE,
                variable: "id"
            }
        );
        is_id.then(|| self.book().notes.keys().map(u64::to_string).collect())
    }
}

impl Notes {
    fn add(&self, arguments: &Arguments, turn: &Turn) -> Result<Called, String> {
        let (title, body) = (text(arguments, "title")?, text(arguments, "text")?);
        if title.is_empty() || title.chars().count() > TITLE_CHARS_LIMIT {
            return Err(format!(
                "`title` must have 1 to {TITLE_CHARS_LIMIT} characters"
            ));
        }
        if body.len() > TEXT_BYTES_LIMIT {
            return Err(format!("`text` must have at most {TEXT_BYTES_LIMIT} bytes"));
        }
        let id = {
            let mut book = self.book();
            if book.notes.len() >= NOTES_LIMIT {
                return Err(format!("there are {NOTES_LIMIT} notes; delete one first"));
            }
            let id = book.next_id;
            book.next_id += 1;
            let note = Note {
                title: title.to_owned(),
                text: body.to_owned(),
            };
            book.notes.insert(id, note);
            id
        };
        turn.log(Self::NAME, &format!("added note {id}"));
        turn.resources_changed();
        Ok(Called::Done {
            text: format!("Added note {id}."),
            structured: json!({ "id": id, "uri": format!("note://{id}") }),
        })
    }

    fn list(&self, query: &str) -> Called {
        let query = query.to_lowercase();
        let book = self.book();
        let found: Vec<(&u64, &Note)> = book
            .notes
            .iter()
            .filter(|(_, note)| {
                note.title.to_lowercase().contains(&query)
                    || note.text.to_lowercase().contains(&query)
            })
            .collect();
        let lines: Vec<String> = found
            .iter()
            .map(|(id, note)| format!("{id}: {}", note.title))
            .collect();
        let structured: Vec<Value> = found
            .iter()
            .map(|(id, note)| {
                json!({ "id": id, "title": note.title, "uri": format!("note://{id}") })
            })
            .collect();
        let text = if lines.is_empty() {
            "No notes.".to_owned()
        } else {
            lines.join("\n")
        };
        Called::Done {
            text,
            structured: json!({ "notes": structured }),
        }
    }

    fn delete(&self, arguments: &Arguments, turn: &Turn) -> Result<Called, String> {
        let id = arguments
            .get("id")
            .and_then(Value::as_u64)
            .ok_or("`id` must be a whole number")?;
        if self.book().notes.remove(&id).is_none() {
            return Err(format!("there is no note {id}"));
        }
        turn.log(Self::NAME, &format!("deleted note {id}"));
        turn.resources_changed();
        Ok(Called::Done {
            text: format!("Deleted note {id}."),
            structured: json!({ "id": id }),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tool_definitions() -> Vec<Value> {
    let id = json!({ "type": "integer", "minimum": 1, "description": "The id of the note." });
    let note = json!({
        "type": "object",
        "properties": {
            "id": { "type": "integer" },
            "title": { "type": "string" },
            "uri": { "type": "string" },
        },
        "required": ["id", "title", "uri"],
    });
    let listing = object(
        &json!({ "notes": { "type": "array", "items": note } }),
        &["notes"],
    );
    let title = json!({ "type": "string", "minLength": 1, "maxLength": TITLE_CHARS_LIMIT });
    let added = json!({ "id": { "type": "integer" }, "uri": { "type": "string" } });
    vec![
        json!({
            "name": "add_note",
            "title": "Add a note",
            "description": "Keeps a note with a title and a text.",
            "inputSchema": object(&json!({ "title": title, "text": { "type": "string" } }), &["title", "text"]),
            "outputSchema": object(&added, &["id", "uri"]),
            "annotations": { "readOnlyHint": false, "destructiveHint": false, "idempotentHint": false, "openWorldHint": false },
        }),
        json!({
            "name": "list_notes",
            "title": "List the notes",
            "description": "Lists all notes by id and title.",
            "inputSchema": object(&json!({}), &[]),
            "outputSchema": listing,
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        }),
        json!({
            "name": "search_notes",
            "title": "Search the notes",
            "description": "Lists the notes whose title or text contains the query, whatever its case.",
            "inputSchema": object(&json!({ "query": { "type": "string" } }), &["query"]),
            "outputSchema": listing,
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        }),
        json!({
            "name": "delete_note",
            "title": "Delete a note",
            "description": "Deletes a note for good.",
            "inputSchema": object(&json!({ "id": id }), &["id"]),
            "outputSchema": object(&json!({ "id": { "type": "integer" } }), &["id"]),
            "annotations": { "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": false },
        }),
    ]
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn text<'a>(arguments: &'a Arguments, key: &str) -> Result<&'a str, String> {
    arguments
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("`{key}` must be a text"))
}
