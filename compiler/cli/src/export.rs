//! `mcpc schema` and `mcpc completions`: generated texts for editors and shells. Also owns what is
//! said when a file cannot be written, which `mcpc plan --out` shares.

use std::io::ErrorKind;
use std::path::Path;

use mcpc_daemon::{is_standard, write_in_one_step};

use crate::Exit;
use crate::terminal::{print, say};

/// Prints the JSON Schema, or writes it to a file.
pub(crate) fn schema(out: Option<&Path>) -> Exit {
    let text = mcpc_config::schema_text();
    match out {
        Some(out) if !is_standard(out) => write_or_say(out, text.as_bytes()),
        _ => print(text.as_bytes()),
    }
}

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell, command: &mut clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "mcpc", &mut script);
    print(&script)
}

/// Writes a file in one step, and says so if that fails.
pub(crate) fn write_or_say(path: &Path, bytes: &[u8]) -> Exit {
    match write_in_one_step(path, bytes) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            let reason = match error.kind() {
                ErrorKind::NotFound => "there is no such directory".to_owned(),
                kind => kind.to_string(),
            };
            say(&format!(
                "error[MCPC0004]: {} cannot be written: {reason}\n  = note: run `mcpc explain MCPC0004`\n",
                path.display()
            ));
            Exit::Failed
        }
    }
}
