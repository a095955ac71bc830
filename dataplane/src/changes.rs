//! How often the lists of an upstream have changed, as whoever tells clients watches it.
//!
//! Owns the counters alone. They are raised in `upstream`, and for another plan in `hub`.

/// How often each list of an upstream is known to have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// `notifications/tools/list_changed`.
    pub(crate) tools: u64,
    /// `notifications/prompts/list_changed`.
    pub(crate) prompts: u64,
    /// `notifications/resources/list_changed`.
    pub(crate) resources: u64,
    /// How often an endpoint was given another plan; an upstream does not know of that.
    pub(crate) plans: u64,
}
