//! What the list of a server up to 2025-11-25 says of tools and tasks: `execution.taskSupport`.
//!
//! Owns which tools are called as tasks, and how they are listed to clients: as ordinary tools, which they
//! are behind the gateway. It offers no tasks of its own, as the sessions in which servers keep them are
//! shared, and clients do not call a tool that demands what they were not offered. Used by `list`.

use bytes::Bytes;
use memchr::memmem;

use crate::json::{self, member};

const EXECUTION: &[u8] = b"execution";
const SUPPORT: &[u8] = b"taskSupport";

/// Whether a listed tool can only be called as a task.
pub(crate) fn is_required(tool: &[u8]) -> bool {
    // Nearly no tool says anything of it, and to look for the name is cheaper than to read.
    memmem::find(tool, SUPPORT).is_some()
        && member(tool, EXECUTION)
            .and_then(|execution| member(execution, SUPPORT))
            .is_some_and(|support| support == b"\"required\"")
}

/// Such a tool as clients see it.
pub(crate) fn as_called(tool: &Bytes) -> Bytes {
    let Some(execution) = member(tool, EXECUTION) else {
        return tool.clone();
    };
    let rest = json::retain(execution, |key| key != SUPPORT).unwrap_or_default();
    let mut out = Vec::with_capacity(tool.len());
    let walk = json::members(tool, u32::MAX, |member| {
        let value = match member.key {
            EXECUTION if rest == b"{}" => return,
            EXECUTION => rest.as_slice(),
            _ => tool.get(member.value).unwrap_or_default(),
        };
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.push(b'"');
        out.extend_from_slice(member.key);
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value);
    });
    out.push(b'}');
    match walk {
        Ok(()) => out.into(),
        Err(_) => tool.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tools_that_demand_a_task_are_called_as_one() {
        for (tool, demands) in [
            (
                r#"{"name":"a","execution":{"taskSupport":"required"}}"#,
                true,
            ),
            (
                r#"{"name":"a","execution":{"taskSupport":"optional"}}"#,
                false,
            ),
            (
                r#"{"name":"a","execution":{"taskSupport":"forbidden"}}"#,
                false,
            ),
            (r#"{"name":"a","taskSupport":"required"}"#, false),
            (r#"{"name":"a","execution":"taskSupport"}"#, false),
            (r#"{"name":"a"}"#, false),
        ] {
            assert_eq!(is_required(tool.as_bytes()), demands, "{tool}");
        }
    }

    #[test]
    fn the_demand_is_not_listed_and_all_else_is() {
        let listed = |text: &'static str| as_called(&Bytes::from_static(text.as_bytes()));
        assert_eq!(
            listed(r#"{"name":"a","execution":{"taskSupport":"required"},"x":[1]}"#),
            r#"{"name":"a","x":[1]}"#
        );
        assert_eq!(
            listed(r#"{"name":"a","execution":{"x":1,"taskSupport":"required"}}"#),
            r#"{"name":"a","execution":{"x":1}}"#
        );
    }
}
