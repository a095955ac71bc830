//! The gate about edits: a storm that lasts for a million calls.

use std::path::Path;

use super::Figure;
use crate::failure::Failure;
use crate::storm::{self, Options};

const CALLS: u64 = 1_000_000;

/// See `storm`.
pub(super) async fn storm(program: &Path) -> Result<Figure, Failure> {
    let storm = storm::watch(&Options::of(program, CALLS)).await?;
    Ok(Figure {
        seen: storm.line(),
        holds: storm.judge().is_ok(),
    })
}
