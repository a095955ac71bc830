//! The corpora's harness and the repository's own rules.
//!
//! Owns: running the compile corpus and what is derived from it, the rules that every file of the
//! repository keeps, and the generators of committed documents. Does not own product behaviour:
//! the cases under `compile/` and `exchange/` state that, and adding one touches no Rust.
//!
//! ```text
//! tests/repository.rs ─► rules/* ─► Repository (every text file, read once)
//! tests/golden.rs     ─► compile, masking, determinism ─► mcpc_compiler::compile
//! ```

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness stops at a broken repository; nothing here runs in the product"
)]

mod answers;
mod compile;
mod compiled;
mod coverage;
mod determinism;
mod diff;
mod evaluators;
mod examples;
mod exchange;
mod expectation;
mod finding;
mod hostile;
mod markers;
mod masking;
mod mutation;
mod pages;
mod pairs;
mod plan_mutation;
mod reference;
mod reorder;
mod repository;
mod rust_code;

pub mod fuzzing;
pub mod rules;

pub use compile::{Case, strays};
pub use compiled::{Compiled, Values};
pub use coverage::Coverage;
pub use determinism::Compared;
pub use evaluators::{Agreement, Openings, agreement, openings};
pub use examples::{stale_digests, wrong_examples, wrong_pages};
pub use exchange::{Course, Exchange, Storm, play, read_across_a_swap, storm};
pub use expectation::{Expectation, blessing};
pub use finding::{Finding, assert_none};
pub use hostile::{Hostile, hostile_texts};
pub use markers::Marker;
pub use masking::{shown_by_beginning, shown_by_name};
pub use mutation::mutants;
pub use pages::error_index;
pub use pairs::{Change, are_apart, changed, changes};
pub use plan_mutation::plan_mutants;
pub use reference::{configuration_reference, metrics_reference};
pub use repository::{Repository, TextFile};
