//! What a client sees of event streams besides messages: ids, waiting times and comments.
//!
//! Owns the names under which a transcript shows streams: ids hold random numbers, so the first stream
//! is `a`, the second one `b`. Shown only if the case asks for it; kept always, to come back with.

use std::cell::RefCell;
use std::collections::HashMap;

/// The events of one client.
pub(crate) struct Events {
    is_shown: bool,
    /// The streams as the gateway calls them, in the order of their first events.
    streams: RefCell<Vec<String>>,
    /// The last id that came for a call.
    last: RefCell<HashMap<String, String>>,
}

impl Events {
    pub(crate) fn new(is_shown: bool) -> Self {
        Self {
            is_shown,
            streams: RefCell::default(),
            last: RefCell::default(),
        }
    }

    pub(crate) fn are_shown(&self) -> bool {
        self.is_shown
    }

    /// The last event of a call, or the one that a transcript calls so.
    pub(crate) fn last(&self, call: &str, shown: Option<&str>) -> String {
        let Some(shown) = shown else {
            return self.last.borrow().get(call).cloned().unwrap_or_default();
        };
        let known = shown.split_once('-').and_then(|(name, number)| {
            let streams = self.streams.borrow();
            let at = (0..streams.len()).find(|at| name_of(*at) == name)?;
            Some(format!("{}-{number}", streams.get(at)?))
        });
        known.unwrap_or_else(|| shown.to_owned())
    }

    /// Keeps the id of an event; what is to be shown of it.
    pub(crate) fn take(&self, call: &str, event: &str) -> Option<String> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let shown = match field("id: ") {
            Some(id) => {
                let last = id.to_owned();
                self.last.borrow_mut().insert(call.to_owned(), last);
                let retry = field("retry: ").map(|ms| format!(", retry {ms}"));
                let shown = self.shown(id);
                format!("gets event {shown}{}", retry.unwrap_or_default())
            }
            None => format!("sees a comment:{}", field(":")?),
        };
        self.is_shown.then_some(shown)
    }

    fn shown(&self, id: &str) -> String {
        let (stream, number) = id.split_once('-').unwrap_or((id, ""));
        let mut streams = self.streams.borrow_mut();
        let at = streams.iter().position(|known| known == stream);
        let at = at.unwrap_or_else(|| {
            streams.push(stream.to_owned());
            streams.len() - 1
        });
        format!("{}-{number}", name_of(at))
    }
}

fn name_of(at: usize) -> String {
    u8::try_from(at).map_or_else(
        |_| "?".to_owned(),
        |at| char::from(b'a' + at % 26).to_string(),
    )
}
