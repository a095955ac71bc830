//! The corpora's harness and the repository's own rules.
//!
//! Owns: running the compile corpus and what is derived from it, the rules that every file of the
//! repository keeps, and the generators of committed documents. Does not own product behaviour:
//! the cases under `compile/` and `exchange/` state that, and adding one touches no Rust.
//!
//! ```text
//! tests/repository.rs ─► rules/* ─► Repository (every text file, read once)
//! tests/golden.rs     ─► compile, mutation, determinism ─► mcpc_compiler::compile
//! ```

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a harness stops at a broken repository; nothing here runs in the product"
)]

mod diff;
mod expectation;
mod finding;
mod repository;
mod rust_code;

pub mod rules;

pub use expectation::{Expectation, blessing};
pub use finding::{Finding, assert_none};
pub use repository::{Repository, TextFile};
