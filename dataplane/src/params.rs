//! The params of a call: where the parts are that the gateway reads, and what it changes in them.
//!
//! Owns reading `params` and `params._meta` by range, and writing a call's message for one hop: own
//! id, own progress token, and the `_meta` that the upstream's era asks for. Everything else is
//! copied byte for byte, so extensions pass through untouched.

use std::ops::Range;

use bytes::Bytes;

use crate::ask::kind::write_capabilities;
use crate::call::{Call, Era};
use crate::json::{self, Member};
use crate::message::{decoded, is_ambiguous};

/// `_meta` keys of 2026-07-28 (Basic §`_meta`).
pub(crate) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// The revision that the gateway speaks to modern upstreams.
pub(crate) const MODERN_REVISION: &str = "2026-07-28";

type Span = Option<Range<usize>>;

/// The params of one message. Invariant: every range of `at` lies inside `text`.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    text: Bytes,
    /// On the heap: a call is handed from stage to stage, and this is most of its size.
    at: Box<Places>,
    /// Replacements, in the order of their places.
    edits: Vec<(Range<usize>, Bytes)>,
}

/// Where the members are that the gateway knows.
#[derive(Clone, Debug, Default)]
struct Places {
    name: Span,
    uri: Span,
    reference: Span,
    arguments: Span,
    task_id: Span,
    task: Span,
    request_state: Span,
    input_responses: Span,
    cursor: Span,
    request_id: Span,
    level: Span,
    notifications: Span,
    protocol_version: Span,
    meta: Span,
    meta_version: Span,
    meta_capabilities: Span,
    meta_client: Span,
    meta_log_level: Span,
    progress_token: Span,
}

/// The params are not an object of the agreed shape, or a key that matters stands twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadParams;

/// The members of params that were met while a message was read. Ranges are those of the message.
#[derive(Debug, Default)]
pub(crate) struct Met {
    at: Box<Places>,
    /// Where the params begin in the message.
    start: usize,
    ambiguous: bool,
}

impl Met {
    /// The way from a message to the members that are met.
    pub(crate) const PATH: [&'static [u8]; 2] = [b"params", b"_meta"];

    /// Notes a member of a message (0), of its params (1) or of their `_meta` (2).
    pub(crate) fn take(&mut self, level: usize, member: &Member<'_>) {
        let (slot, known) = match level {
            0 if member.key == b"params" => {
                self.start = member.value.start;
                return;
            }
            0 => return,
            1 => (self.at.of_params(member.key), &PARAMS_KEYS[..]),
            _ => (self.at.of_meta(member.key), &META_KEYS[..]),
        };
        self.ambiguous |= match slot {
            Some(slot) => slot.replace(member.value.clone()).is_some(),
            None => is_ambiguous(member.key, known),
        };
    }
}

/// Keys that must not stand there in another spelling either.
const PARAMS_KEYS: [&str; 5] = ["name", "uri", "ref", "arguments", "_meta"];
const META_KEYS: [&str; 3] = ["progressToken", META_VERSION, META_CAPABILITIES];

impl Places {
    fn of_params(&mut self, key: &[u8]) -> Option<&mut Span> {
        Some(match key {
            b"name" => &mut self.name,
            b"uri" => &mut self.uri,
            b"ref" => &mut self.reference,
            b"cursor" => &mut self.cursor,
            b"requestId" => &mut self.request_id,
            b"level" => &mut self.level,
            b"notifications" => &mut self.notifications,
            b"protocolVersion" => &mut self.protocol_version,
            b"_meta" => &mut self.meta,
            b"arguments" => &mut self.arguments,
            b"taskId" => &mut self.task_id,
            b"task" => &mut self.task,
            b"requestState" => &mut self.request_state,
            b"inputResponses" => &mut self.input_responses,
            _ => return None,
        })
    }

    fn of_meta(&mut self, key: &[u8]) -> Option<&mut Span> {
        Some(match key {
            b"progressToken" => &mut self.progress_token,
            key if key == META_VERSION.as_bytes() => &mut self.meta_version,
            key if key == META_CAPABILITIES.as_bytes() => &mut self.meta_capabilities,
            key if key == META_CLIENT.as_bytes() => &mut self.meta_client,
            key if key == META_LOG_LEVEL.as_bytes() => &mut self.meta_log_level,
            _ => return None,
        })
    }

    /// Counts from another place on.
    fn shift(&mut self, start: usize) {
        for span in [
            &mut self.name,
            &mut self.uri,
            &mut self.reference,
            &mut self.arguments,
            &mut self.task_id,
            &mut self.task,
            &mut self.request_state,
            &mut self.input_responses,
            &mut self.cursor,
            &mut self.request_id,
            &mut self.level,
            &mut self.notifications,
            &mut self.protocol_version,
            &mut self.meta,
            &mut self.meta_version,
            &mut self.meta_capabilities,
            &mut self.meta_client,
            &mut self.meta_log_level,
            &mut self.progress_token,
        ]
        .into_iter()
        .flatten()
        {
            *span = span.start.saturating_sub(start)..span.end.saturating_sub(start);
        }
    }
}

impl Params {
    /// Params without members.
    pub(crate) fn empty() -> Self {
        Self {
            text: Bytes::from_static(b"{}"),
            at: Box::default(),
            edits: Vec::new(),
        }
    }

    /// Reads the members that the gateway knows.
    pub(crate) fn read(text: Option<Bytes>, nesting: u32) -> Result<Self, BadParams> {
        let mut met = Met::default();
        if let Some(text) = &text {
            let [_, meta] = Met::PATH;
            json::members_along(text, nesting, &[meta], &mut |level, member| {
                met.take(level + 1, &member);
            })
            .map_err(|_| BadParams)?;
        }
        Self::of(text, met)
    }

    /// The params of a message in which their members were met.
    pub(crate) fn of(text: Option<Bytes>, met: Met) -> Result<Self, BadParams> {
        let Some(text) = text else {
            return Ok(Self::empty());
        };
        let Met {
            mut at,
            start,
            ambiguous,
        } = met;
        at.shift(start);
        let meta = at.meta.as_ref().and_then(|meta| text.get(meta.start));
        if ambiguous || meta.is_some_and(|first| *first != b'{') {
            return Err(BadParams);
        }
        let edits = Vec::new();
        Ok(Self { text, at, edits })
    }

    fn part(&self, span: &Span) -> Option<Bytes> {
        span.as_ref().map(|range| self.text.slice(range.clone()))
    }

    fn text_part(&self, span: &Span) -> Option<Bytes> {
        decoded(&self.text, span.clone()?)
    }

    /// `name`, decoded: of a tool or prompt.
    pub(crate) fn name(&self) -> Option<Bytes> {
        self.text_part(&self.at.name)
    }

    /// `uri`, decoded.
    pub(crate) fn uri(&self) -> Option<Bytes> {
        self.text_part(&self.at.uri)
    }

    /// `ref` of a completion, one JSON value.
    pub(crate) fn reference(&self) -> Option<Bytes> {
        self.part(&self.at.reference)
    }

    /// Whether there is a `cursor`, of whatever kind. Some clients write `null` for none.
    pub(crate) fn has_cursor(&self) -> bool {
        let cursor = self.part(&self.at.cursor);
        cursor.is_some_and(|cursor| cursor.as_ref() != b"null")
    }

    /// `requestId` of a cancellation, one JSON value.
    pub(crate) fn request_id(&self) -> Option<Bytes> {
        self.part(&self.at.request_id)
    }

    /// `level` of `logging/setLevel`, decoded.
    pub(crate) fn level(&self) -> Option<Bytes> {
        self.text_part(&self.at.level)
    }

    /// `notifications` of `subscriptions/listen`, one JSON value.
    pub(crate) fn notifications(&self) -> Option<Bytes> {
        self.part(&self.at.notifications)
    }

    /// `protocolVersion` of `initialize`, decoded.
    pub(crate) fn protocol_version(&self) -> Option<Bytes> {
        self.text_part(&self.at.protocol_version)
    }

    /// `capabilities` of `initialize`, one JSON value.
    pub(crate) fn capabilities(&self) -> Option<&[u8]> {
        json::member(&self.text, b"capabilities")
    }

    /// Whether they can be those of `initialize`. Not all clients say who they are or that they can do nothing,
    /// which changes nothing here; what they say has to have its type.
    pub(crate) fn are_of_initialize(&self) -> bool {
        let is_object = |key: &[u8]| {
            let value = json::member(&self.text, key);
            value.is_none_or(|value| value.first() == Some(&b'{'))
        };
        self.protocol_version().is_some() && is_object(b"capabilities") && is_object(b"clientInfo")
    }

    /// The protocol version in `_meta`, decoded: it makes a request modern.
    pub(crate) fn meta_version(&self) -> Option<Bytes> {
        self.text_part(&self.at.meta_version)
    }

    /// Whether `_meta` has the version key at all, whatever its type.
    pub(crate) fn has_meta_version(&self) -> bool {
        self.at.meta_version.is_some()
    }

    /// The client's capabilities in `_meta`, one JSON value.
    pub(crate) fn meta_capabilities(&self) -> Option<Bytes> {
        self.part(&self.at.meta_capabilities)
    }

    /// `arguments`, one JSON value.
    pub(crate) fn arguments(&self) -> Option<Bytes> {
        self.part(&self.at.arguments)
    }

    /// `taskId`, decoded: what `Mcp-Name` mirrors for the tasks extension.
    pub(crate) fn task_id(&self) -> Option<Bytes> {
        self.text_part(&self.at.task_id)
    }

    /// The params of a call that is not to become a task.
    pub(crate) fn without_task(self, nesting: u32) -> Result<Self, BadParams> {
        if self.at.task.is_none() {
            return Ok(self);
        }
        let left = json::retain(&self.text, |key| key != b"task");
        Self::read(Some(left.map_err(|_| BadParams)?.into()), nesting)
    }

    /// `requestState` of a repeated request, decoded.
    pub(crate) fn request_state(&self) -> Option<Bytes> {
        let state = self.at.request_state.as_ref()?;
        // What is not text was not given out here, as an empty text was not.
        Some(self.text_part(&Some(state.clone())).unwrap_or_default())
    }

    /// Whether there is a `requestState`.
    pub(crate) fn has_request_state(&self) -> bool {
        self.at.request_state.is_some()
    }

    /// `inputResponses` of a repeated request, one JSON value.
    pub(crate) fn input_responses(&self) -> Option<Bytes> {
        self.part(&self.at.input_responses)
    }

    /// Replaces the client's capabilities in `_meta` by another JSON value.
    pub(crate) fn replace_capabilities(&mut self, value: Bytes) {
        self.splice(self.at.meta_capabilities.clone(), value);
    }

    /// Replaces `requestState` by another JSON value.
    pub(crate) fn replace_state(&mut self, value: Bytes) {
        self.splice(self.at.request_state.clone(), value);
    }

    /// The log level in `_meta`, decoded.
    pub(crate) fn log_level(&self) -> Option<Bytes> {
        self.text_part(&self.at.meta_log_level)
    }

    /// The progress token, one JSON value.
    pub(crate) fn progress_token(&self) -> Option<Bytes> {
        self.part(&self.at.progress_token)
    }

    /// Replaces `name` by the upstream's own name.
    pub(crate) fn rename(&mut self, name: &str) {
        self.replace(self.at.name.clone(), name);
    }

    /// Replaces a part of `ref` by another text; the range is relative to [`Params::reference`].
    pub(crate) fn rename_in_reference(&mut self, range: &Range<usize>, name: &str) {
        let start = self
            .at
            .reference
            .as_ref()
            .map_or(0, |reference| reference.start);
        self.replace(Some(range.start + start..range.end + start), name);
    }

    /// The same params with more members, given with a comma in front of each. Nothing, if some that a
    /// repeated request has are there already.
    pub(crate) fn with(&self, members: &[u8]) -> Option<Self> {
        if self.at.request_state.is_some() || self.at.input_responses.is_some() {
            return None;
        }
        let before = self.text.trim_ascii_end().strip_suffix(b"}")?;
        let is_empty = before.trim_ascii() == b"{";
        let members = if is_empty { members.get(1..)? } else { members };
        let text: Bytes = [before, members, b"}"].concat().into();
        let mut params = self.clone();
        params.text = text;
        Some(params)
    }

    fn replace(&mut self, span: Span, text: &str) {
        let mut value = Vec::with_capacity(text.len() + 2);
        json::write_text(&mut value, text);
        self.splice(span, value.into());
    }

    fn splice(&mut self, span: Span, value: Bytes) {
        let Some(range) = span else { return };
        let at = self
            .edits
            .partition_point(|(edit, _)| edit.start < range.start);
        self.edits.insert(at, (range, value));
    }
}

impl Call {
    /// Whether the client asked for progress.
    pub(crate) fn wants_progress(&self) -> bool {
        self.params.at.progress_token.is_some()
    }

    /// About how many bytes the message for a hop has.
    pub(crate) fn message_bytes(&self) -> usize {
        self.params.text.len() + self.method.len() + 128
    }

    /// Appends the message for a hop: own id, own progress token (the id, if the client asked for
    /// progress), and the `_meta` that the upstream's era asks for.
    pub(crate) fn write_message(&self, out: &mut Vec<u8>, id: u64, era: Era) {
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        write_number(out, id);
        out.extend_from_slice(b",\"method\":");
        json::write_text(out, std::str::from_utf8(&self.method).unwrap_or_default());
        out.extend_from_slice(b",\"params\":");
        if self.era == era {
            self.write_params_as_they_are(out, id);
        } else {
            self.write_params_across(out, id, era);
        }
        out.extend_from_slice(&self.beside);
        out.push(b'}');
    }

    /// The same era on both sides: all bytes, but the renamed parts and the progress token.
    fn write_params_as_they_are(&self, out: &mut Vec<u8>, id: u64) {
        let params = &self.params;
        let mut at = 0;
        let mut token = params.at.progress_token.clone();
        for (range, value) in &params.edits {
            if let Some(range) = token.take_if(|token| token.start < range.start) {
                at = copy_until(out, &params.text, at, &range);
                write_number(out, id);
            }
            at = copy_until(out, &params.text, at, range);
            out.extend_from_slice(value);
        }
        if let Some(range) = token {
            at = copy_until(out, &params.text, at, &range);
            write_number(out, id);
        }
        out.extend_from_slice(params.text.get(at..).unwrap_or_default());
    }

    /// Different eras: `_meta` is written anew, in front of the other members.
    fn write_params_across(&self, out: &mut Vec<u8>, id: u64, era: Era) {
        let params = &self.params;
        out.extend_from_slice(b"{\"_meta\":");
        self.write_meta(out, id, era);
        // Nesting was checked when the params were read.
        let walk = json::members(&params.text, u32::MAX, |member| {
            // A client of 2026-07-28 means nothing by it, and an older server would begin a task.
            let is_task = era == Era::Legacy && params.at.task.as_ref() == Some(&member.value);
            if member.key != b"_meta" && !is_task {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(member.key);
                out.extend_from_slice(b"\":");
                let mut at = member.value.start;
                for (range, value) in params
                    .edits
                    .iter()
                    .filter(|(edit, _)| member.value.contains(&edit.start))
                {
                    at = copy_until(out, &params.text, at, range);
                    out.extend_from_slice(value);
                }
                out.extend_from_slice(params.text.get(at..member.value.end).unwrap_or_default());
            }
        });
        debug_assert!(walk.is_ok(), "params were read before");
        out.push(b'}');
    }

    /// The `_meta` of the other era: foreign keys stay, those of one era are left out or made.
    fn write_meta(&self, out: &mut Vec<u8>, id: u64, era: Era) {
        let params = &self.params;
        let start = out.len();
        let own = [
            META_VERSION,
            META_CAPABILITIES,
            META_CLIENT,
            META_LOG_LEVEL,
            "progressToken",
        ];
        let meta = params
            .part(&params.at.meta)
            .unwrap_or_else(|| Bytes::from_static(b"{}"));
        let walk = json::members(&meta, u32::MAX, |member| {
            if !own.iter().any(|key| key.as_bytes() == member.key) {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(member.key);
                out.extend_from_slice(b"\":");
                out.extend_from_slice(meta.get(member.value).unwrap_or_default());
            }
        });
        debug_assert!(walk.is_ok(), "params were read before");
        if self.wants_progress() {
            out.extend_from_slice(b",\"progressToken\":");
            write_number(out, id);
        }
        if era == Era::Modern {
            self.write_modern_meta(out);
        }
        match out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
    }

    /// What a modern upstream needs from every request. The capabilities are those that the client
    /// of this call has declared and the gateway can carry.
    fn write_modern_meta(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(META_VERSION.as_bytes());
        out.extend_from_slice(b"\":\"2026-07-28\",\"");
        out.extend_from_slice(META_CAPABILITIES.as_bytes());
        out.extend_from_slice(b"\":");
        write_capabilities(out, self.asks);
        out.extend_from_slice(b",\"");
        out.extend_from_slice(META_CLIENT.as_bytes());
        out.extend_from_slice(
            concat!(
                "\":{\"name\":\"mcpc\",\"version\":\"",
                env!("CARGO_PKG_VERSION"),
                "\"}"
            )
            .as_bytes(),
        );
        if let Some(level) = self.log_level {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(META_LOG_LEVEL.as_bytes());
            out.extend_from_slice(b"\":\"");
            out.extend_from_slice(level.as_str().as_bytes());
            out.push(b'"');
        }
    }
}

/// Copies up to a replaced range; answers where to go on.
fn copy_until(out: &mut Vec<u8>, text: &[u8], at: usize, range: &Range<usize>) -> usize {
    out.extend_from_slice(text.get(at..range.start).unwrap_or_default());
    range.end
}

/// Appends a number in decimal.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - count..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(params: &'static str, era: Era) -> Result<Call, BadParams> {
        let method = Bytes::from_static(b"tools/call");
        let params = Params::read(Some(Bytes::from_static(params.as_bytes())), 64)?;
        let time = std::time::Duration::from_millis(1);
        let now = tokio::time::Instant::now();
        Ok(Call {
            era,
            ..Call::own(method, params, mcpc_plan::Timeouts::all(time), now)
        })
    }

    fn written(params: &'static str, rename: Option<&str>, from: Era, to: Era) -> String {
        let Ok(mut call) = call(params, from) else {
            return "bad params".to_owned();
        };
        if let Some(name) = rename {
            call.params.rename(name);
        }
        let mut out = Vec::new();
        call.write_message(&mut out, 42, to);
        let text = String::from_utf8_lossy(&out).into_owned();
        let head = r#"{"jsonrpc":"2.0","id":42,"method":"tools/call","params":"#;
        assert!(
            serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            "{text}"
        );
        text.strip_prefix(head)
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(&text)
            .to_owned()
    }

    #[test]
    fn same_era_changes_name_and_token_and_nothing_else() {
        let params = r#"{ "x":1, "name" : "a__b","arguments":{"name":"a__b"}, "_meta":{"progressToken":"t", "k":[ ]} }"#;
        assert_eq!(
            written(params, Some("b"), Era::Modern, Era::Modern),
            r#"{ "x":1, "name" : "b","arguments":{"name":"a__b"}, "_meta":{"progressToken":42, "k":[ ]} }"#
        );
        let reordered = r#"{"_meta":{"progressToken":7},"name":"a"}"#;
        assert_eq!(
            written(reordered, Some("q\"\u{e9}"), Era::Legacy, Era::Legacy),
            "{\"_meta\":{\"progressToken\":42},\"name\":\"q\\\"\u{e9}\"}"
        );
    }

    #[test]
    fn crossing_rewrites_meta_and_keeps_foreign_keys() {
        let modern = r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","x/y":1,"progressToken":3}}"#;
        assert_eq!(
            written(modern, None, Era::Modern, Era::Legacy),
            r#"{"_meta":{"x/y":1,"progressToken":42},"name":"a"}"#
        );
        assert_eq!(
            written(r#"{"name":"a"}"#, Some("b"), Era::Modern, Era::Legacy),
            r#"{"_meta":{},"name":"b"}"#
        );
        assert_eq!(
            written(r#"{"name":"a","task":{}}"#, None, Era::Modern, Era::Legacy),
            r#"{"_meta":{},"name":"a"}"#
        );
        let legacy = written(r#"{"name":"a"}"#, None, Era::Legacy, Era::Modern);
        assert!(
            legacy.starts_with(
                r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#
            ),
            "{legacy}"
        );
    }

    #[test]
    fn keys_that_matter_stand_once() {
        for params in [
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a","Name":"b"}"#,
            r#"{"name":"a","n\u0061me":"b"}"#,
            r#"{"_meta":{"progressToken":1,"progressToken":2}}"#,
            r#"{"_meta":[]}"#,
            r#"{"name":"a","arguments":{},"arguments":{"x":1}}"#,
        ] {
            assert!(call(params, Era::Modern).is_err(), "{params}");
        }
    }
}
