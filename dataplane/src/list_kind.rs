//! Which lists there are, and what each is called on the wire.
//!
//! Owns the names alone. Fetched and merged are the lists by `list`.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::json;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The kind that a method lists.
    pub(crate) fn of_method(method: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.method().as_bytes() == method)
    }

    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The notification that tells that it has changed.
    pub(crate) fn changed(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources | Self::Templates => "notifications/resources/list_changed",
        }
    }

    /// The member of the result that holds the entries.
    pub(crate) fn entries(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The capability without which a server has none of it.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    /// The member of an entry that names it.
    fn key(self) -> &'static [u8] {
        match self {
            Self::Tools | Self::Prompts => b"name",
            Self::Resources => b"uri",
            Self::Templates => b"uriTemplate",
        }
    }

    /// What the server calls an entry, and where that stands in it.
    pub(crate) fn own_name(self, entry: &Bytes) -> Option<(Range<usize>, Cow<'_, str>)> {
        let span = json::place_of(entry, self.key())?;
        let own = json::text(entry.get(span.clone())?)?;
        Some((span, own))
    }
}
