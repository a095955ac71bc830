//! Requests to legacy clients that wait for their answers, found from any thread.
//!
//! Owns the ids under which the gateway asks, minted by itself, and the bound on how many are open.
//! An answer counts only from the session that was asked, and once; everything else is ignored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::call::Reply;
use crate::session::Live;

/// The most requests that wait for clients, over all sessions.
const OPEN_MAX: u32 = 16 * 1024;

/// Everything that clients are asked at the moment.
pub(crate) struct Asking {
    ids: AtomicU64,
    count: AtomicU32,
    waiting: papaya::HashMap<u64, Waiting>,
}

/// One of them: whose answer counts, and who waits for it.
struct Waiting {
    session: u128,
    answers: mpsc::Sender<(u64, Reply)>,
}

/// A request that can be answered until this is dropped.
pub(crate) struct Open {
    id: u64,
    asking: Arc<Asking>,
}

impl Asking {
    /// Nobody is asked yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            ids: AtomicU64::new(1),
            count: AtomicU32::new(0),
            waiting: papaya::HashMap::new(),
        })
    }

    /// A number that was not used before.
    pub(crate) fn mint(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// An id for a request to a session; nothing if there are too many. `answers` must have room for
    /// one answer to each request that its owner has open.
    pub(crate) fn open(
        self: &Arc<Self>,
        session: &Live,
        answers: &mpsc::Sender<(u64, Reply)>,
    ) -> Option<Open> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= OPEN_MAX {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let id = self.mint();
        let waiting = Waiting {
            session: session.number(),
            answers: answers.clone(),
        };
        self.waiting.pin().insert(id, waiting);
        Some(Open {
            id,
            asking: Arc::clone(self),
        })
    }

    /// Takes a client's answer; false if the session was not asked this, or has answered before.
    pub(crate) fn answer(&self, session: &Live, id: &[u8], reply: Reply) -> bool {
        let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
        let Some(id) = id else { return false };
        let is_theirs = |_: &u64, waiting: &Waiting| waiting.session == session.number();
        let waiting = self.waiting.pin();
        let Ok(Some((_, asked))) = waiting.remove_if(&id, is_theirs) else {
            return false;
        };
        asked.answers.try_send((id, reply)).is_ok()
    }
}

impl Open {
    /// The id, a JSON number.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.asking.waiting.pin().remove(&self.id);
        self.asking.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Reply {
        Reply::Result(bytes::Bytes::from_static(b"{}").into())
    }

    #[test]
    fn only_the_session_that_was_asked_answers_and_only_once() {
        let asking = Asking::new();
        let (session, other) = (Live::numbered(1), Live::numbered(2));
        let (sender, mut answers) = mpsc::channel(2);
        let open = asking.open(&session, &sender);
        let id = open.as_ref().map(|open| open.id().to_string());
        let id = id.unwrap_or_default();
        for foreign in ["", "x", "-1", "\"1\"", "4711"] {
            assert!(!asking.answer(&session, foreign.as_bytes(), reply()));
        }
        assert!(!asking.answer(&other, id.as_bytes(), reply()));
        assert!(asking.answer(&session, id.as_bytes(), reply()));
        assert!(!asking.answer(&session, id.as_bytes(), reply()));
        assert!(answers.try_recv().is_ok() && answers.try_recv().is_err());
        let late = asking.open(&session, &sender).map(|open| open.id());
        let late = late.unwrap_or_default().to_string();
        assert!(!asking.answer(&session, late.as_bytes(), reply()));
    }

    #[test]
    fn there_are_never_more_open_than_there_may_be() {
        let asking = Asking::new();
        let session = Live::numbered(1);
        let (sender, _answers) = mpsc::channel(1);
        let mut open: Vec<_> = (0..OPEN_MAX)
            .map_while(|_| asking.open(&session, &sender))
            .collect();
        assert_eq!(open.len(), OPEN_MAX as usize);
        assert!(asking.open(&session, &sender).is_none());
        open.pop();
        open.extend(asking.open(&session, &sender));
        assert_eq!(open.len(), OPEN_MAX as usize);
        drop(open);
        assert!(asking.waiting.is_empty());
    }
}
