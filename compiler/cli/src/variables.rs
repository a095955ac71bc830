//! Where `$<NAME>` gets its value when a configuration is compiled: the credentials file, then the
//! environment, exactly as the data plane looks up secrets.
//!
//! Secret fields are not among what is read here: the plan keeps their templates, and the data
//! plane resolves them.

use std::io;

use mcpc_compiler::Variables;
use mcpc_dataplane::{Reach, Real, Refusal};

use crate::Exit;
use crate::terminal::say;

/// The credentials file and the environment of this process.
pub(crate) struct Environment {
    reach: Real,
}

/// The credentials file is there and cannot be used.
pub(crate) struct Unusable {
    kind: io::ErrorKind,
}

impl Environment {
    /// Reads the credentials file, if there is one.
    pub(crate) fn read() -> Result<Self, Unusable> {
        // Never the error's own text: it could quote what is in the file.
        let unusable = |error: io::Error| Unusable { kind: error.kind() };
        Real::new().map(|reach| Self { reach }).map_err(unusable)
    }

    /// What was read, for a data plane that resolves secrets from the same place.
    pub(crate) fn into_reach(self) -> Real {
        self.reach
    }
}

impl Unusable {
    /// Says so on standard error.
    pub(crate) fn tell(&self) -> Exit {
        let Refusal { code, reason } = self.refusal();
        say(&format!(
            "error[{code}]: {reason}\n  = note: run `mcpc explain {code}`\n"
        ));
        Exit::Failed
    }

    /// The code and the reason.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal {
            code: "MCPC0005",
            reason: format!("the credentials file cannot be used: {}", self.kind),
        }
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.reach.variable(name)?;
        Some(value.expose().to_owned())
    }
}
