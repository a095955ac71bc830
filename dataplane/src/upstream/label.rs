//! What the log calls an upstream.
//!
//! Owns the name: one that the live plan has for it, since an upstream outlives plans. It is looked up where a line is
//! written, and shared with all that belongs to the upstream: its processes, what they say, and those that
//! sessions have beside it. Which names a plan has for it is known to `prepare`.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// See the file's header. Clones are the same label.
#[derive(Clone)]
pub(super) struct Label(Arc<ArcSwap<Box<str>>>);

impl Label {
    pub(super) fn new(name: &str) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(name.into())))
    }

    /// The live plan has these names for it. It keeps its own if that is one of them.
    pub(super) fn settle(&self, names: &[Box<str>]) {
        let is_one = names.contains(self.0.load().as_ref());
        if let Some(first) = names.first().filter(|_| !is_one) {
            self.0.store(Arc::new(first.clone()));
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stays_as_long_as_the_plan_has_it() {
        let label = Label::new("b");
        let shared = label.clone();
        for (names, expected) in [
            (["a", "b"].as_slice(), "b"),
            (&["a", "c"], "a"),
            (&["c"], "c"),
            (&[], "c"),
        ] {
            let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
            label.settle(&names);
            assert_eq!(shared.to_string(), expected, "{names:?}");
        }
    }
}
