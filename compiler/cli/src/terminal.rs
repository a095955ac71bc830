//! Writing to standard output and standard error: data on the one, talk on the other.

use std::io::{self, IsTerminal, Write};

use mcpc_compiler::Color as Paint;
use mcpc_dataplane::Refusal;

use crate::Exit;
use crate::args::Color;

/// What is known about the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    color: Color,
}

impl Terminal {
    pub(crate) fn new(color: Color) -> Self {
        Self { color }
    }

    /// Whether text on standard error is coloured, in the renderers' terms.
    pub(crate) fn paint(self) -> Paint {
        if self.is_coloured() {
            Paint::On
        } else {
            Paint::Off
        }
    }

    /// Whether text on standard error is coloured.
    pub(crate) fn is_coloured(self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb
            }
        }
    }
}

/// Writes data to standard output, and says so if that fails. A reader that has gone away
/// (`mcpc plan | head`) is no failure.
pub(crate) fn print(bytes: &[u8]) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!(
                "error[MCPC0004]: standard output cannot be written: {error}\n  = note: run `mcpc explain MCPC0004`\n"
            ));
            Exit::Failed
        }
        _ => Exit::Clean,
    }
}

/// A refusal, for people.
pub(crate) fn told(Refusal { code, reason }: &Refusal) -> String {
    format!("error[{code}]: {reason}\n  = note: run `mcpc explain {code}`\n")
}

/// Writes talk to standard error. If nobody can read it, there is nobody to tell.
pub(crate) fn say(text: &str) {
    let mut err = io::stderr().lock();
    let _unheard = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
