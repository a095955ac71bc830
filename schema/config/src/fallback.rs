//! What a gateway starts with if its configuration cannot be used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the gateway starts with if the configuration cannot be used then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Nothing: it does not start.
    #[default]
    None,
    /// The plan that was live last, from the state directory.
    LastGood,
}
