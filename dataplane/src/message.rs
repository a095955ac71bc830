//! JSON-RPC messages as bytes: what the envelope says, and where its parts are.
//!
//! Owns reading an envelope in one validating pass and writing the messages of a hop. What nobody
//! changes stays bytes. A key that stands twice, carries an escape or differs from a known one only
//! in case is refused: two readers of the same bytes must not see two messages.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::json::{self, Member};

/// A JSON-RPC message. Every part is a slice of the bytes that were read; nothing was copied.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// Expects an answer.
    Request {
        /// The id, one JSON value: a text or a number.
        id: Bytes,
        /// The method, decoded.
        method: Bytes,
        /// The params, one JSON object.
        params: Option<Bytes>,
        /// What else it says: members that JSON-RPC does not define, each with a comma in front.
        beside: Box<[u8]>,
    },
    /// Expects none.
    Notification(Notification),
    /// A successful answer.
    Result {
        /// The id, one JSON value.
        id: Bytes,
        /// The value of `result`.
        result: Bytes,
        /// What else it says, as in a request.
        beside: Box<[u8]>,
    },
    /// A failed answer; without an id the request could not be read.
    Error {
        /// The id, one JSON value that is not null.
        id: Option<Bytes>,
        /// The value of `error`, an object.
        error: Bytes,
        /// What else it says, as in a request.
        beside: Box<[u8]>,
    },
}

/// A message that expects no answer. Its progress token, if it has one, is the hop's own.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    /// The method, for example `notifications/progress`, decoded.
    pub(crate) method: Bytes,
    /// The params, one JSON value, or nothing.
    pub(crate) params: Option<Bytes>,
    /// What it says beside what JSON-RPC defines, each member with a comma in front.
    pub(crate) beside: Box<[u8]>,
}

/// Why bytes are not a JSON-RPC message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not valid JSON.
    NotJson,
    /// Nested deeper than is read.
    TooDeep,
    /// An array: a batch.
    Batch,
    /// Its params are a list, which JSON-RPC has and MCP has not. The id, if it has one.
    Listed {
        /// The id of the request, one JSON value.
        id: Option<Bytes>,
    },
    /// JSON, but not a JSON-RPC 2.0 message. The id, if one can be told, for the error reply.
    NotMessage {
        /// The id of the request, one JSON value.
        id: Option<Bytes>,
    },
}

type Span = Option<Range<usize>>;

/// Where the parts of an envelope are. Ranges, because every share of the bytes that is taken costs two
/// atomic operations: only the parts that a message is made of are worth them.
#[derive(Default)]
struct Parts {
    version: Span,
    id: Span,
    method: Span,
    params: Span,
    result: Span,
    error: Span,
    /// Members beside all these. Nearly no message has any, and then nothing is allocated.
    beside: Vec<u8>,
    ambiguous: bool,
    /// Then it is not clear whom an error would answer.
    has_two_ids: bool,
}

/// Reads one message.
pub(crate) fn read(bytes: &Bytes, nesting: u32) -> Result<Message, Malformed> {
    read_along(bytes, nesting, &[], |_, _| {})
}

/// Reads one message of a server. Besides what holds for all, its results are objects and its errors have
/// an integer code and a text (2025-11-25 and 2026-07-28 schemas, `Result` and `Error`): what is written
/// for clients is built on that, and a client should not have to check it again.
pub(crate) fn read_of_server(bytes: &Bytes, nesting: u32) -> Result<Message, Malformed> {
    match read(bytes, nesting)? {
        Message::Result { id, result, .. } if result.first() != Some(&b'{') => {
            Err(Malformed::NotMessage { id: Some(id) })
        }
        Message::Error { id, error, .. } if !is_error(&error) => Err(Malformed::NotMessage { id }),
        message => Ok(message),
    }
}

/// Whether an object has what every error has.
fn is_error(object: &Bytes) -> bool {
    let (mut code, mut text) = (None, None);
    let walk = json::members(object, u32::MAX, |member| match member.key {
        b"code" => code = object.get(member.value),
        b"message" => text = object.get(member.value),
        _ => {}
    });
    let is_integer = |raw: &[u8]| {
        let digits = raw.strip_prefix(b"-").unwrap_or(raw);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    walk.is_ok() && code.is_some_and(is_integer) && text.is_some_and(|raw| raw.starts_with(b"\""))
}

/// Reads one message, and in the same pass the members of objects in it, as
/// [`json::members_along`] does.
pub(crate) fn read_along<'a>(
    bytes: &'a Bytes,
    nesting: u32,
    path: &[&[u8]],
    mut visit: impl FnMut(usize, Member<'a>),
) -> Result<Message, Malformed> {
    let mut parts = Parts::default();
    let read = json::members_along(bytes, nesting, path, &mut |level, member| {
        if level == 0 {
            parts.take(bytes, &member);
        }
        visit(level, member);
    });
    match read {
        Ok(()) => parts.into_message(bytes),
        Err(json::NotJson) if json::elements(bytes, nesting, |_| {}).is_ok() => {
            Err(Malformed::Batch)
        }
        Err(json::NotJson) if is_scalar(bytes) => Err(Malformed::NotMessage { id: None }),
        Err(json::NotJson) if json::is_too_deep(bytes, nesting) => Err(Malformed::TooDeep),
        Err(json::NotJson) => Err(Malformed::NotJson),
    }
}

/// Whether bytes are a text, a number, `true`, `false` or `null`: JSON, and no message (JSON-RPC 2.0
/// §5.1 calls that an invalid request, not a parse error).
fn is_scalar(bytes: &[u8]) -> bool {
    let mut count = 0;
    let as_list = [b"[", bytes, b"]"].concat();
    json::elements(&as_list, 1, |_| count += 1).is_ok() && count == 1
}

impl Parts {
    fn take(&mut self, bytes: &[u8], member: &Member<'_>) {
        let slot = match member.key {
            b"jsonrpc" => &mut self.version,
            b"id" => &mut self.id,
            b"method" => &mut self.method,
            b"params" => &mut self.params,
            b"result" => &mut self.result,
            b"error" => &mut self.error,
            other => {
                self.ambiguous |= is_ambiguous(
                    other,
                    &["jsonrpc", "id", "method", "params", "result", "error"],
                );
                json::write_member(
                    &mut self.beside,
                    other,
                    bytes.get(member.value.clone()).unwrap_or_default(),
                );
                return;
            }
        };
        self.ambiguous |= slot.is_some();
        self.has_two_ids |= member.key == b"id" && slot.is_some();
        *slot = Some(member.value.clone());
    }

    fn into_message(self, bytes: &Bytes) -> Result<Message, Malformed> {
        let first = |span: &Range<usize>| bytes.get(span.start).copied().unwrap_or_default();
        let is_id = |span: &Range<usize>| matches!(first(span), b'"' | b'-' | b'0'..=b'9');
        let is_object = |span: &Range<usize>| first(span) == b'{';
        let is_list = |span: &Range<usize>| first(span) == b'[';
        let part = |span: Range<usize>| bytes.slice(span);
        let has_id = self.id.is_some();
        let id = self.id.filter(is_id);
        let refused = |id: Span| Malformed::NotMessage {
            id: id.filter(|_| !self.has_two_ids).map(part),
        };
        let version = self.version.and_then(|span| bytes.get(span));
        if self.ambiguous || version != Some(b"\"2.0\"") {
            return Err(refused(id));
        }
        if let Some(method) = self.method {
            let answered = self.result.is_some() || self.error.is_some();
            let is_listed = self.params.as_ref().is_some_and(is_list);
            let unsound = answered || !is_listed && !self.params.as_ref().is_none_or(is_object);
            let Some(method) = decoded(bytes, method).filter(|_| !unsound) else {
                return Err(refused(id));
            };
            let params = self.params.map(part);
            return match id.map(part) {
                None if has_id => Err(refused(None)),
                id if is_listed => Err(Malformed::Listed { id }),
                None => Ok(Message::Notification(Notification {
                    method,
                    params,
                    beside: self.beside.into(),
                })),
                Some(id) => Ok(Message::Request {
                    id,
                    method,
                    params,
                    beside: self.beside.into(),
                }),
            };
        }
        match (id, self.result, self.error) {
            (Some(id), Some(result), None) => Ok(Message::Result {
                id: part(id),
                result: part(result),
                beside: self.beside.into(),
            }),
            (id, None, Some(error)) if is_object(&error) => Ok(Message::Error {
                id: id.map(part),
                error: part(error),
                beside: self.beside.into(),
            }),
            (id, _, _) => Err(refused(id)),
        }
    }
}

/// The text of the JSON string in this place, without copying if it has no escape.
pub(crate) fn decoded(bytes: &Bytes, place: Range<usize>) -> Option<Bytes> {
    match json::text(bytes.get(place)?)? {
        Cow::Borrowed(text) => Some(bytes.slice_ref(text.as_bytes())),
        Cow::Owned(text) => Some(Bytes::from(text)),
    }
}

/// Whether another reader could take this key for one of the known ones.
pub(crate) fn is_ambiguous(key: &[u8], known: &[&str]) -> bool {
    key.contains(&b'\\')
        || known
            .iter()
            .any(|name| key.eq_ignore_ascii_case(name.as_bytes()))
}

/// Appends the beginning of a response up to the value: `{"jsonrpc":"2.0","id":1,"result":`.
/// The caller appends the value and a brace. Without an id the member is left out
/// (2025-11-25 and 2026-07-28 schemas: `null` is not an id).
pub(crate) fn write_response_head(out: &mut Vec<u8>, id: Option<&[u8]>, member: &str) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        out.extend_from_slice(id);
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(member.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a whole request of the gateway's own.
pub(crate) fn write_request(out: &mut Vec<u8>, id: u64, method: &str, params: Option<&[u8]>) {
    out.extend_from_slice(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":").as_bytes());
    json::write_text(out, method);
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
    }
    out.push(b'}');
}

/// Appends a whole notification.
pub(crate) fn write_notification(out: &mut Vec<u8>, method: &str, params: Option<&[u8]>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":");
    json::write_text(out, method);
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
    }
    out.push(b'}');
}

/// Puts into a whole message what else it says.
pub(crate) fn add_beside(message: &mut Vec<u8>, beside: &[u8]) {
    if !beside.is_empty() && message.pop().is_some() {
        message.extend_from_slice(beside);
        message.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &'static str) -> String {
        match read(&Bytes::from_static(text.as_bytes()), 64) {
            Ok(Message::Request {
                id, method, params, ..
            }) => {
                format!("request {id:?} {method:?} {params:?}")
            }
            Ok(Message::Notification(Notification { method, params, .. })) => {
                format!("notification {method:?} {params:?}")
            }
            Ok(Message::Result { id, result, .. }) => format!("result {id:?} {result:?}"),
            Ok(Message::Error { id, error, .. }) => format!("error {id:?} {error:?}"),
            Err(malformed) => format!("{malformed:?}"),
        }
    }

    #[test]
    fn messages_are_told_apart() {
        for (text, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#,
                r#"request b"1" b"a" None"#,
            ),
            (
                r#"{"id":"x","params":{},"method":"\u0061","jsonrpc":"2.0"}"#,
                r#"request b"\"x\"" b"a" Some(b"{}")"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"a"}"#,
                r#"notification b"a" None"#,
            ),
            (
                r#"{"result":{},"jsonrpc":"2.0","id":7}"#,
                r#"result b"7" b"{}""#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{}}"#,
                r#"error None b"{}""#,
            ),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, "Batch"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a""#, "NotJson"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#,
                r#"Listed { id: Some(b"1") }"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"a","params":[]}"#,
                "Listed { id: None }",
            ),
            ("7", "NotMessage { id: None }"),
            (" \"a\" ", "NotMessage { id: None }"),
            ("1,2", "NotJson"),
            ("", "NotJson"),
            (
                r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,
                "NotMessage { id: None }",
            ),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_told_from_what_is_no_json() {
        let (open, close) = ("[".repeat(70), "]".repeat(70));
        for (text, expected) in [
            (format!(r#"{{"a":{open}{close}}}"#), Malformed::TooDeep),
            (format!(r#"{{"a":{open}"#), Malformed::TooDeep),
            (format!("{open}{close}"), Malformed::TooDeep),
            (
                format!(r#"{{"params":{{"_meta":{{"a":{open}"#),
                Malformed::TooDeep,
            ),
            (format!(r#"{{"a":x{open}{close}}}"#), Malformed::NotJson),
            (format!(r#"{{"a":"{open}"#), Malformed::NotJson),
        ] {
            let read = read(&Bytes::from(text.clone()), 64);
            assert_eq!(read.err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn replies_of_servers_are_what_the_schema_says() {
        for (part, is_sound) in [
            (r#""result":{}"#, true),
            (r#""result":5"#, false),
            (r#""result":"s""#, false),
            (r#""result":[]"#, false),
            (r#""result":true"#, false),
            (r#""result":null"#, false),
            (r#""error":{"message":"","code":-1,"data":null}"#, true),
            (r#""error":{}"#, false),
            (r#""error":{"code":1}"#, false),
            (r#""error":{"message":"m"}"#, false),
            (r#""error":{"code":1.5,"message":"m"}"#, false),
            (r#""error":{"code":"1","message":"m"}"#, false),
            (r#""error":{"code":1,"message":3}"#, false),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":7,{part}}}"#);
            match read_of_server(&Bytes::from(text), 64) {
                Ok(_) => assert!(is_sound, "{part}"),
                Err(Malformed::NotMessage { id }) => {
                    assert!(!is_sound, "{part}");
                    assert_eq!(id.as_deref(), Some(&b"7"[..]), "{part}");
                }
                Err(other) => unreachable!("{part}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"a","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
        ] {
            assert!(
                kind(text).starts_with("NotMessage"),
                "{text}: {}",
                kind(text)
            );
        }
    }
}
