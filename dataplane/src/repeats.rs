//! Tools that do the same however often they are called: `readOnlyHint` and `idempotentHint` in the
//! annotations of a listed tool (Tools §Tool Annotations).
//!
//! Owns how a tool says so. Servers that the configuration does not let calls be sent again to are not
//! listened to: to say so for a server is to trust its annotations. Does not send anything:
//! `upstream/retries.rs` decides. Which tools of an endpoint have said so is in a `ToolSet`.

use crate::json;

/// Whether a listed tool says that it can be called again.
pub(crate) fn is_repeatable(tool: &[u8]) -> bool {
    let Some(annotations) = json::member(tool, b"annotations") else {
        return false;
    };
    let mut says_so = false;
    let walk = json::members(annotations, u32::MAX, |member| {
        let is_hint = matches!(member.key, b"readOnlyHint" | b"idempotentHint");
        says_so |= is_hint && annotations.get(member.value) == Some(b"true");
    });
    walk.is_ok() && says_so
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_tool_itself_counts() {
        for (tool, says_so) in [
            (r#"{"name":"a","annotations":{"readOnlyHint":true}}"#, true),
            (
                r#"{"annotations":{"title":"x","idempotentHint": true}}"#,
                true,
            ),
            (r#"{"annotations":{"idempotentHint":false}}"#, false),
            (r#"{"annotations":{"idempotentHint":"true"}}"#, false),
            (r#"{"annotations":{"destructiveHint":true}}"#, false),
            (r#"{"annotations":{"x":{"readOnlyHint":true}}}"#, false),
            (r#"{"annotations":true}"#, false),
            (r#"{"readOnlyHint":true}"#, false),
        ] {
            assert_eq!(is_repeatable(tool.as_bytes()), says_so, "{tool}");
        }
    }
}
