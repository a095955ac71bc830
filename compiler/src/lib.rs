//! The compiler: texts in, (plan, diagnostics) out. Pure: no files, clock, environment or network.
//!
//! ```text
//! Source ─parse─► Tree ─expand─► Tree ─shape─► (fits the schema) ─decode─► Config
//!        Config ─resolve─► Resolved ─check/*─► ─lower─► Plan ─emit─► canonical bytes
//!                     every pass reports into one Sink and goes on past errors
//! ```
//!
//! [`compile`] runs all of it; [`Outcome`] holds the plan, if there was no error, and every
//! diagnostic. What a pass needs from outside (variables, overrides) comes in as [`Input`].

mod codes;
mod diagnostic;
mod source;

pub use codes::{CODES, CodeEntry, code_entry};
pub use diagnostic::{Code, Diagnostic, Fix, Label, Severity, Sink};
pub use source::{Place, Source, Span};
