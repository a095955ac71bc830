//! The `clock` server: the time at any offset from UTC, and a slow tool to watch progress with.
//!
//! Speaks no protocol: `session.rs` does. Times are read and written by `calendar.rs`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::calendar::{Moment, Offset};
use super::rpc::RpcError;
use super::turn::{Flow, Turn};
use super::{Arguments, Called, CompletionOf, Demo};

const NOW: &str = "clock://now";
const TEMPLATE: &str = "clock://now/{offset}";
const WAIT_SECONDS_LIMIT: f64 = 60.0;
const STEP: Duration = Duration::from_millis(250);

/// Offsets that people live at, for completion.
const OFFSETS: [&str; 12] = [
    "Z", "+01:00", "+02:00", "+03:00", "+05:30", "+08:00", "+09:00", "-03:00", "-05:00", "-06:00",
    "-07:00", "-08:00",
];

/// A clock. Has no state: two calls share nothing.
pub(super) struct Clock;

impl Demo for Clock {
    const NAME: &'static str = "clock";
    const TITLE: &'static str = "Clock";
    const INSTRUCTIONS: &'static str = "Tells the time at an offset from UTC such as `+02:00`, and converts times between offsets.";
    const READ_TTL_MS: u64 = 0;

    fn tools(&self) -> Vec<Value> {
        tool_definitions()
    }

    fn is_slow(&self, tool: &str) -> bool {
        tool == "wait"
    }

    fn call(&self, tool: &str, arguments: &Arguments, turn: &Turn) -> Result<Called, RpcError> {
        let called = match tool {
            "now" => offset(arguments).map(|offset| shown(Moment::now(), offset)),
            "convert" => convert(arguments),
            "wait" => wait(arguments, turn),
            _ => {
                let message = format!("unknown tool: {tool}");
                return Err(RpcError::invalid_params(message));
            }
        };
        Ok(called.unwrap_or_else(Called::Failed))
    }

    fn prompts(&self) -> Vec<Value> {
        vec![json!({
            "name": "meeting",
            "title": "Plan a meeting",
            "description": "Asks for meeting times that suit somebody at another offset.",
            "arguments": [{
                "name": "offset",
                "description": "The other side's offset from UTC, such as +02:00.",
                "required": true,
            }],
        })]
    }

    fn prompt(
        &self,
        prompt: &str,
        arguments: &Arguments,
    ) -> Result<(&'static str, String), RpcError> {
        if prompt != "meeting" {
            return Err(RpcError::invalid_params(format!(
                "unknown prompt: {prompt}"
            )));
        }
        if !arguments.contains_key("offset") {
            return Err(RpcError::invalid_params("`offset` is missing"));
        }
        let offset = offset(arguments).map_err(RpcError::invalid_params)?;
        let now = Moment::now();
        let text = format!(
            "It is {} in UTC and {} ({}) where the other side is. Suggest three times for a \
             meeting on the next working day, within nine to five for the other side.",
            now.at(Offset::UTC),
            now.at(offset),
            now.weekday(offset),
        );
        Ok(("Meeting times at another offset.", text))
    }

    fn resources(&self) -> Vec<Value> {
        vec![json!({
            "uri": NOW,
            "name": "now",
            "title": "The time",
            "description": "The time in UTC.",
            "mimeType": "text/plain",
        })]
    }

    fn templates(&self) -> Vec<Value> {
        vec![json!({
            "uriTemplate": TEMPLATE,
            "name": "now-at",
            "title": "The time at an offset",
            "description": "The time at an offset from UTC such as +02:00.",
            "mimeType": "text/plain",
        })]
    }

    fn read(&self, uri: &str) -> Option<String> {
        let rest = uri.strip_prefix(NOW)?;
        if rest.is_empty() {
            return Some(Moment::now().at(Offset::UTC));
        }
        // A `+` may come percent-encoded: RFC 6570 §3.2.2 expands `{offset}` that way.
        let offset = rest.strip_prefix('/')?;
        let offset = offset.replace("%2B", "+").replace("%3A", ":");
        Some(Moment::now().at(Offset::parse(&offset)?))
    }

    fn values_of(&self, of: &CompletionOf<'_>) -> Option<Vec<String>> {
        let is_offset = matches!(
            of,
            CompletionOf::Prompt {
                name: "meeting",
                argument: "offset"
            } | CompletionOf::Template {
                uri: TEMPLATE,
                variable: "offset"
            }
        );
        is_offset.then(|| OFFSETS.iter().map(|offset| (*offset).to_owned()).collect())
    }
}

fn convert(arguments: &Arguments) -> Result<Called, String> {
    let moment = arguments
        .get("time")
        .and_then(Value::as_str)
        .and_then(Moment::parse)
        .ok_or("`time` must be like 2026-07-28T09:30:00+02:00")?;
    if !arguments.contains_key("offset") {
        return Err("`offset` is missing".to_owned());
    }
    Ok(shown(moment, offset(arguments)?))
}

fn wait(arguments: &Arguments, turn: &Turn) -> Result<Called, String> {
    let seconds = arguments
        .get("seconds")
        .and_then(Value::as_f64)
        .filter(|seconds| (0.0..=WAIT_SECONDS_LIMIT).contains(seconds))
        .ok_or_else(|| format!("`seconds` must be a number from 0 to {WAIT_SECONDS_LIMIT}"))?;
    let (begun, total) = (Instant::now(), Duration::from_secs_f64(seconds));
    turn.log(Clock::NAME, &format!("waiting {seconds} s"));
    turn.progress(0.0, seconds);
    loop {
        let left = total.saturating_sub(begun.elapsed());
        if turn.pause(left.min(STEP)) == Flow::Cancelled {
            return Ok(Called::Cancelled);
        }
        if begun.elapsed() >= total {
            break;
        }
        turn.progress(begun.elapsed().as_secs_f64(), seconds);
    }
    if seconds > 0.0 {
        turn.progress(seconds, seconds);
    }
    Ok(Called::Done {
        text: format!("Waited {seconds} s."),
        structured: json!({ "seconds": seconds }),
    })
}

fn shown(moment: Moment, offset: Offset) -> Called {
    let (time, weekday) = (moment.at(offset), moment.weekday(offset));
    Called::Done {
        text: format!("{time} ({weekday})"),
        structured: json!({ "time": time, "weekday": weekday, "unix": moment.unix() }),
    }
}

fn offset(arguments: &Arguments) -> Result<Offset, String> {
    match arguments.get("offset") {
        None => Ok(Offset::UTC),
        Some(offset) => offset
            .as_str()
            .and_then(Offset::parse)
            .ok_or_else(|| "`offset` must be like +02:00, -05:30 or Z".to_owned()),
    }
}

fn tool_definitions() -> Vec<Value> {
    let offset = json!({
        "type": "string",
        "pattern": r"^(Z|UTC|[+-][0-2][0-9]:[0-5][0-9])$",
        "description": "An offset from UTC, such as +02:00.",
    });
    let time = json!({
        "type": "object",
        "properties": {
            "time": { "type": "string", "format": "date-time" },
            "weekday": { "type": "string" },
            "unix": { "type": "integer" },
        },
        "required": ["time", "weekday", "unix"],
    });
    let seconds = json!({ "type": "number", "minimum": 0, "maximum": WAIT_SECONDS_LIMIT });
    let reads = json!({ "readOnlyHint": true, "openWorldHint": false });
    vec![
        json!({
            "name": "now",
            "title": "What time is it?",
            "description": "The time at an offset from UTC; in UTC if none is given.",
            "inputSchema": object(&json!({ "offset": offset }), &[]),
            "outputSchema": time,
            "annotations": reads,
        }),
        json!({
            "name": "convert",
            "title": "Convert a time",
            "description": "Shows a time as a clock at another offset from UTC shows it.",
            "inputSchema": object(
                &json!({ "time": { "type": "string", "format": "date-time" }, "offset": offset }),
                &["time", "offset"],
            ),
            "outputSchema": time,
            "annotations": reads,
        }),
        json!({
            "name": "wait",
            "title": "Wait",
            "description": "Waits, and tells how far it is. Can be cancelled.",
            "inputSchema": object(&json!({ "seconds": seconds }), &["seconds"]),
            "outputSchema": object(&json!({ "seconds": { "type": "number" } }), &["seconds"]),
            "annotations": reads,
        }),
    ]
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}
