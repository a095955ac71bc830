//! What clients were shown last of one server's part in each list of an endpoint.
//!
//! Owns the decision whether a part is news: a server may say that a list has changed when nothing of it
//! is exposed, or when it is as it was, and one that is replaced may show what the one before it did. Keeps
//! one number for each list, not the list. `list` notes what it shows, and asks when a server says that
//! something has changed; `swap_news` asks when a server was replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::list_kind::Kind;

/// Nobody has been shown anything by this process: what clients know, they know from before.
const UNSEEN: u64 = 0;

/// Clients were shown different things.
const MIXED: u64 = 1;

/// What was shown last of each list.
#[derive(Default)]
pub(crate) struct Shown([Arc<AtomicU64>; 4]);

impl Shown {
    /// What holds under the next plan: requests that began under the one before still note what they show.
    pub(crate) fn carried(&self, is_made_alike: impl Fn(Kind) -> bool) -> Self {
        Self(Kind::ALL.map(|kind| {
            if is_made_alike(kind) {
                Arc::clone(self.place(kind))
            } else {
                Arc::default()
            }
        }))
    }

    /// A client is shown a part with this digest, or a list without the part.
    pub(crate) fn note(&self, kind: Kind, part: Option<u64>) {
        let part = number(part);
        let place = self.place(kind);
        let before = place.compare_exchange(UNSEEN, part, Ordering::AcqRel, Ordering::Acquire);
        if before.is_err_and(|before| before != part) {
            place.store(MIXED, Ordering::Release);
        }
    }

    /// Whether the part as it is now has to be told of. From then on it is what clients know.
    pub(crate) fn is_news(&self, kind: Kind, part: Option<u64>) -> bool {
        let part = number(part);
        let before = self.place(kind).swap(part, Ordering::AcqRel);
        before != part || part == MIXED
    }

    /// Clients are told that what they know of the list does not hold any more.
    pub(crate) fn forget(&self, kind: Kind) {
        self.place(kind).store(UNSEEN, Ordering::Release);
    }

    /// Whether no client was shown the list.
    pub(crate) fn is_unseen(&self, kind: Kind) -> bool {
        self.place(kind).load(Ordering::Acquire) == UNSEEN
    }

    fn place(&self, kind: Kind) -> &Arc<AtomicU64> {
        let Self([tools, prompts, resources, templates]) = self;
        match kind {
            Kind::Tools => tools,
            Kind::Prompts => prompts,
            Kind::Resources => resources,
            Kind::Templates => templates,
        }
    }
}

/// A digest as it is kept. What is not known is like nothing else, itself included.
fn number(part: Option<u64>) -> u64 {
    part.map_or(MIXED, |part| part.max(MIXED + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_what_clients_know_is_news() {
        let shown = Shown::default();
        shown.note(Kind::Tools, Some(7));
        assert!(!shown.is_news(Kind::Tools, Some(7)));
        assert!(shown.is_news(Kind::Tools, Some(8)));
        assert!(!shown.is_news(Kind::Tools, Some(8)));
        assert!(shown.is_unseen(Kind::Prompts) && !shown.is_unseen(Kind::Tools));
    }

    #[test]
    fn what_is_carried_over_is_one_with_what_is_still_shown_under_the_plan_before() {
        let before = Shown::default();
        before.note(Kind::Tools, Some(7));
        before.note(Kind::Prompts, Some(7));
        let next = before.carried(|kind| kind == Kind::Tools);
        assert!(!next.is_unseen(Kind::Tools) && next.is_unseen(Kind::Prompts));
        before.note(Kind::Tools, Some(8));
        assert!(next.is_news(Kind::Tools, Some(7)));
        next.forget(Kind::Tools);
        assert!(before.is_unseen(Kind::Tools));
    }

    #[test]
    fn what_clients_know_in_several_forms_is_always_news() {
        let shown = Shown::default();
        shown.note(Kind::Tools, Some(7));
        shown.note(Kind::Tools, Some(8));
        assert!(shown.is_news(Kind::Tools, Some(7)));
        assert!(!shown.is_news(Kind::Tools, Some(7)));
        shown.note(Kind::Tools, None);
        assert!(shown.is_news(Kind::Tools, Some(7)));
        assert!(shown.is_news(Kind::Tools, None));
        assert!(shown.is_news(Kind::Tools, None));
    }
}
