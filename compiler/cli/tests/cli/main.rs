//! The `mcpc` command from outside: the real binary, its exit codes, its standard output and error.
//!
//! One test binary; each file is one command. `invocation.rs` starts the binary.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

#[cfg(target_os = "linux")]
mod apart;
mod check;
mod demo;
#[cfg(target_os = "linux")]
mod denied;
mod directory;
mod export;
mod fallback;
#[cfg(target_os = "linux")]
mod first_process;
#[cfg(target_os = "linux")]
mod hostile;
mod invocation;
#[cfg(target_os = "linux")]
mod online;
mod orders;
mod plan;
mod run;
mod secrets;
mod status;
mod stdio;
mod texts;
mod trace;
