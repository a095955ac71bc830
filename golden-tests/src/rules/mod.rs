//! The rules of this repository, one file each. A rule is a function from files to findings, so
//! that its own test can hand it a file that breaks it.
//!
//! Exact ceilings rather than tastes: what a reader can hold in the head is the same for everyone.

mod architecture;
mod bridging;
mod calls;
mod codes;
mod confined;
mod crates;
mod decisions;
mod headers;
mod lengths;
mod licences;
mod names;
mod promises;
mod tangle;
mod words;

pub use architecture::{stale_architecture, stale_headers};
pub use bridging::unshown_bridges;
pub use calls::banned_calls;
pub use codes::incomplete_codes;
pub use confined::border_crossings;
pub use crates::{budget, direction, metadata, package_tree};
pub use decisions::{misnumbered_decisions, undecided_dependencies};
pub use headers::missing_headers;
pub use lengths::too_long;
pub use licences::{licence_tree, unwelcome_licences};
pub use names::vague_names;
pub use promises::unchecked_promises;
pub use tangle::tangled_modules;
pub use words::banned_words;
