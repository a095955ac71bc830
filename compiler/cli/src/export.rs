//! `mcpc schema` and `mcpc completions`: generated texts for editors and shells. Also owns what is
//! said when a file cannot be written, which `mcpc plan --out` shares.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use clap::builder::{PossibleValue, PossibleValuesParser};
use mcpc_compiler::{CODES, CodeEntry};
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
pub(crate) fn completions(shell: clap_complete::Shell, command: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_codes(command), "mcpc", &mut script);
    if shell == clap_complete::Shell::Fish {
        script.extend(codes_for_fish().into_bytes());
    }
    print(&script)
}

/// The generator for fish knows choices of flags alone. What would end the text of a title is left out.
fn codes_for_fish() -> String {
    let mut text = String::new();
    for entry in CODES {
        let title = entry.title.replace(['\'', '\\'], "");
        let _infallible = writeln!(
            text,
            "complete -c mcpc -n \"__fish_mcpc_using_subcommand explain\" -a {} -d '{title}'",
            entry.name
        );
    }
    text
}

/// The command line as scripts know it: the codes are choices there. For the command itself they are none,
/// as it also takes them in lower case or without `MCPC`, and names near ones.
fn with_codes(command: clap::Command) -> clap::Command {
    let code = |entry: &CodeEntry| PossibleValue::new(entry.name).help(entry.title);
    let codes: Vec<PossibleValue> = CODES.iter().map(code).collect();
    command.mut_subcommand("explain", |explain| {
        explain.mut_arg("subject", |subject| {
            subject.value_parser(PossibleValuesParser::new(codes))
        })
    })
}

/// Writes a file in one step, and says so if that fails.
pub(crate) fn write_or_say(path: &Path, bytes: &[u8]) -> Exit {
    match write_in_one_step(path, bytes) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            let reason = match error.kind() {
                ErrorKind::NotFound => "there is no such directory".to_owned(),
                _ => error.to_string(),
            };
            say(&format!(
                "error[MCPC0004]: {} cannot be written: {reason}\n  = note: run `mcpc explain MCPC0004`\n",
                path.display()
            ));
            Exit::Failed
        }
    }
}
