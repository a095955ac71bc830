//! A secret value: it cannot be printed, compared or serialized, only put on the wire.

use std::fmt;

/// A resolved secret.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a value.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value, for the wire or a child's environment only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}
