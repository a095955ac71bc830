//! Log levels of the protocol (RFC 5424 names), in the order of their severity.

/// A log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl Level {
    const ALL: [(Level, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    /// The level of this name.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, text)| text.as_bytes() == name)
            .map(|(level, _)| *level)
    }

    /// The name of the level.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(level, _)| *level == self)
            .map_or("info", |(_, text)| *text)
    }

    /// Its place in the order, for an atomic.
    pub(crate) fn rank(self) -> u8 {
        self as u8
    }

    /// The level at a place in the order.
    pub(crate) fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).map(|(level, _)| *level)
    }
}
