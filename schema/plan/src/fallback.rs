//! What a gateway starts with if its source holds nothing that can be used.
//!
//! In the plan because a configuration that cannot be used cannot be trusted to say it: the plan that
//! was live last says whether it may be started from.

use serde::{Deserialize, Serialize};

/// See the file's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Nothing: it does not start.
    #[default]
    None,
    /// The plan that was live last.
    LastGood,
}

impl Fallback {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a condition of serde takes a reference"
    )]
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
}
