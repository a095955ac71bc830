//! `mcpcd` as it ships, built here so that the tests of this crate find it beside them.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcpc_daemon::run()
}
