//! What clients were shown last of one server's part in each list of an endpoint.
//!
//! Owns the decision whether a part is news: a server may say that a list has changed when nothing of it
//! is exposed, or when it is as it was. Keeps one number for each list, not the list. `list` notes what it
//! shows; `engine` asks when a server says that something has changed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::list_kind::Kind;

/// Nobody has been shown anything by this process: what clients know, they know from before.
const UNSEEN: u64 = 0;

/// Clients were shown different things.
const MIXED: u64 = 1;

/// What was shown last of each list.
#[derive(Default)]
pub(crate) struct Shown([AtomicU64; 4]);

impl Shown {
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

    /// Whether no client was shown the list.
    pub(crate) fn is_unseen(&self, kind: Kind) -> bool {
        self.place(kind).load(Ordering::Acquire) == UNSEEN
    }

    fn place(&self, kind: Kind) -> &AtomicU64 {
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
