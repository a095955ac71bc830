//! All pages of one upstream's list.
//!
//! Owns asking for them one after the other, and what a page holds. How long that may take is the caller's
//! to say; what becomes of the entries is `list`'s, or whoever else wants to know what a server has.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use mcpc_plan::{Access, Limits, Timeouts};
use tokio::time::Instant;

use crate::beside::Beside;
use crate::call::{Call, Era, Reply};
use crate::failure::Failure;
use crate::json;
use crate::list_kind::Kind;
use crate::params::Params;
use crate::policy;
use crate::upstream::Upstream;

/// One upstream's part of a list.
pub(crate) struct Part {
    pub(crate) entries: Vec<Bytes>,
    pub(super) ttl_ms: u64,
    pub(super) is_public: bool,
    /// What its first page says beside its entries.
    pub(super) beside: Option<Beside>,
    /// The era of who gave it.
    pub(super) era: Era,
    /// Whether calls can be tasks there.
    pub(super) runs_tasks: bool,
    /// Whether it was cut, because there was more of it than a plan takes.
    pub(crate) is_cut: bool,
}

/// What holds for the questions that make up a list.
pub(crate) struct Terms<'a> {
    /// The server's name, for logs.
    pub(crate) name: &'a str,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) limits: &'a Limits,
    pub(crate) access: Access,
    /// Whether it is for the plan to say if they are sent again.
    pub(crate) is_sent_once: bool,
}

/// All pages that a plan takes. Not to be waited for beyond the deadline.
pub(crate) async fn pages(
    terms: &Terms<'_>,
    upstream: &Arc<Upstream>,
    kind: Kind,
    deadline: Instant,
) -> Result<Part, Failure> {
    let profile = upstream.profile(deadline).await?;
    let mut part = Part {
        entries: Vec::new(),
        ttl_ms: u64::MAX,
        is_public: true,
        beside: None,
        era: profile.era,
        runs_tasks: profile.runs_tasks,
        is_cut: false,
    };
    if !profile.has(kind.capability()) {
        return Ok(part);
    }
    let mut cursor: Option<String> = None;
    for _ in 0..terms.limits.list_pages {
        let timeouts = terms.timeouts.clone();
        let mut call = call(kind, cursor.as_deref(), timeouts, deadline);
        call.is_sent_once = terms.is_sent_once;
        let answer = upstream.send(call, policy::permit(terms.access)).await?;
        let result = match answer.into_reply().await? {
            Reply::Result(result) => result,
            Reply::Error(error) if is_not_offered(&error) => return Ok(part),
            Reply::Error(_) => return Err(Failure::Refused),
        };
        cursor = part.take(kind, &result, terms.limits)?;
        if part.is_full(terms.limits) {
            part.is_cut = true;
            tracing::warn!(server = %terms.name, list = kind.method(), "list has too many entries and was cut");
        }
        if cursor.is_none() {
            return Ok(part);
        }
    }
    part.is_cut = true;
    tracing::warn!(server = %terms.name, list = kind.method(), "list has too many pages and was cut");
    Ok(part)
}

/// The gateway's own question for one page.
pub(crate) fn call(
    kind: Kind,
    cursor: Option<&str>,
    timeouts: Timeouts,
    deadline: Instant,
) -> Call {
    let params = cursor.and_then(|cursor| {
        let mut text = b"{\"cursor\":".to_vec();
        json::write_text(&mut text, cursor);
        text.push(b'}');
        Params::read(Some(text.into()), 8).ok()
    });
    Call::own(
        Bytes::from_static(kind.method().as_bytes()),
        params.unwrap_or_else(Params::empty),
        timeouts,
        deadline,
    )
}

/// An upstream without this method says -32601; some say -32602 instead.
fn is_not_offered(error: &Bytes) -> bool {
    matches!(json::error_code(error), Some(b"-32601" | b"-32602"))
}

impl Part {
    /// Whether it has as many entries as it may have. There may have been more.
    fn is_full(&self, limits: &Limits) -> bool {
        usize::try_from(limits.list_items).is_ok_and(|most| self.entries.len() >= most)
    }

    /// Takes one page; answers the next page's cursor.
    fn take(
        &mut self,
        kind: Kind,
        result: &Bytes,
        limits: &Limits,
    ) -> Result<Option<String>, Failure> {
        let mut entries = None;
        let mut cursor = None;
        let mut ttl_ms = 0;
        let mut is_public = false;
        let raw = |range| result.get(range).unwrap_or_default();
        json::members(result, u32::MAX, |member| match member.key {
            key if key == kind.entries().as_bytes() => entries = Some(member.value),
            b"nextCursor" => {
                cursor = json::text(raw(member.value)).map(Cow::into_owned);
            }
            b"ttlMs" => {
                ttl_ms = std::str::from_utf8(raw(member.value))
                    .ok()
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(0);
            }
            b"cacheScope" => is_public = raw(member.value) == b"\"public\"",
            _ => {}
        })
        .map_err(|_| Failure::Garbage)?;
        let entries = result.slice(entries.ok_or(Failure::Garbage)?);
        let room = usize::try_from(limits.list_items).unwrap_or(usize::MAX);
        json::elements(&entries, u32::MAX, |range| {
            if self.entries.len() < room {
                self.entries.push(entries.slice(range));
            }
        })
        .map_err(|_| Failure::Garbage)?;
        self.beside.get_or_insert_with(|| {
            let known = [
                kind.entries(),
                "nextCursor",
                "resultType",
                "ttlMs",
                "cacheScope",
            ];
            Beside::of(result, &known)
        });
        self.ttl_ms = self.ttl_ms.min(ttl_ms);
        self.is_public &= is_public;
        Ok(cursor.filter(|_| self.entries.len() < room))
    }
}
