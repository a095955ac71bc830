//! Operating a gateway: flags, logs, signals, watched files, reloads and the way down.
//!
//! ```text
//! Plans::load ─► Gateway::start ─► wait for: file changed | SIGHUP ─► a thread: Plans::load ─► loaded
//!                                            loaded               ─► Gateway::swap
//!                                            SIGTERM | SIGINT     ─► Gateway::shutdown
//! ```
//!
//! Shared by `mcpcd`, which loads plans ([`PlanFile`]), and by `mcpc run`, which
//! compiles a configuration each time: both are [`Plans`]. Does not serve traffic:
//! `mcpc-dataplane` does. Knows neither YAML nor the compiler.

mod begin;
mod command;
mod content;
mod durable;
mod ending;
mod first_process;
mod flags;
mod folder;
mod history;
mod hooks;
pub mod http;
mod inputs;
mod inquire;
mod interruptible;
mod loader;
mod log;
mod operate;
mod operation;
mod outlet;
mod outset;
mod plan_file;
mod probation;
#[cfg(feature = "rehearsal")]
mod rehearsal;
mod remote;
mod served;
mod sibling;
mod signals;
mod state_dir;
mod trials;
mod watch;

pub use command::run;
pub use content::{
    Content, Texts, Unread, is_standard, name_of, read_at_most, read_file, read_texts,
};
pub use durable::write_in_one_step;
pub use first_process::first_process;
pub use flags::{Fallback, GatewayFlags, LogFormat, LogLevel, Window, address, wrong_usage};
pub use inquire::{NotAsked, inquire};
pub use log::start_log;
pub use operate::{Ended, Plans, Rejected, Stage, operate};
pub use plan_file::PlanFile;
#[cfg(feature = "rehearsal")]
pub use rehearsal::Operated;
pub use sibling::{open_reach, this_executable};
