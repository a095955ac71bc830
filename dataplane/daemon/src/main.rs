//! `mcpcd`: plan in, traffic served. The container's entry point.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcpc_daemon::run()
}
