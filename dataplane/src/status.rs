//! What operators see: the live plan, the refused one, and the state of every upstream.

use serde::Serialize;

/// The status document, served by `/status`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {}
