//! The error that sends a user to pages before a call can succeed (2025-11-25 Elicitation §URL Mode
//! Elicitation Required Error), as the result by which a client of 2026-07-28 is asked.
//!
//! Owns the error's shape. Nothing is parked for it: the server has ended the call, and the client
//! sends it again once the user has been there. Comes from `respond`.

use bytes::Bytes;

use super::retry::{ByRetry, without};
use crate::json::{self, error_code, member};
use crate::reply::{AskFault, LocalReply};
use crate::session::Asks;

/// The code of the error.
const REQUIRED: &[u8] = b"-32042";

/// Whether this is that error.
pub(crate) fn are_required(error: &Bytes) -> bool {
    error_code(error) == Some(REQUIRED)
}

impl ByRetry {
    /// The result that asks for the visits; nothing if the error does not say which.
    pub(crate) fn send_to_pages(&self, error: &Bytes) -> Result<Option<Bytes>, LocalReply> {
        let Some(params) = visits(error).filter(|visits| !visits.is_empty()) else {
            return Ok(None);
        };
        let required = Asks::ELICIT_URL;
        if !self.asks.can(required) {
            return Err(LocalReply::Ask(AskFault::CapabilityMissing { required }));
        }
        let mut out = b"{\"resultType\":\"input_required\",\"inputRequests\":{".to_vec();
        for (index, params) in params.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let number = index + 1;
            let head = format!("\"question-{number}\":{{\"method\":\"elicitation/create\",");
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(b"\"params\":");
            out.extend_from_slice(params);
            out.push(b'}');
        }
        out.extend_from_slice(b"}}");
        Ok(Some(out.into()))
    }
}

/// The params of each visit, without the ids, which 2026-07-28 has not.
fn visits(error: &Bytes) -> Option<Vec<Vec<u8>>> {
    let data = member(error, b"data")?;
    let listed = member(data, b"elicitations")?;
    let mut visits = Vec::new();
    let mut is_sound = true;
    json::elements(listed, u32::MAX, |span| {
        let visit = listed.get(span).unwrap_or_default();
        is_sound &= member(visit, b"mode") == Some(b"\"url\"");
        visits.push(without(visit, b"elicitationId"));
    })
    .ok()?;
    is_sound.then_some(visits)
}
