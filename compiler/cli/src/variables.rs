//! Where `$<NAME>` gets its value when a configuration is compiled: the credentials file, then the
//! environment, exactly as the data plane looks up secrets.
//!
//! Secret fields are not among what is read here: the plan keeps their templates, and the data
//! plane resolves them.

use mcpc_compiler::Variables;
use mcpc_dataplane::{Reach, Real};

use crate::Exit;
use crate::terminal::say;

/// The credentials file and the environment of this process.
pub(crate) struct Environment {
    reach: Real,
}

impl Environment {
    /// Reads the credentials file, if there is one, and says so if it cannot be used.
    pub(crate) fn read() -> Result<Self, Exit> {
        Real::new().map(|reach| Self { reach }).map_err(|error| {
            // Never the error's own text: it could quote what is in the file.
            let kind = error.kind();
            say(&format!(
                "error[MCPC0005]: the credentials file cannot be used: {kind}\n  = note: run `mcpc explain MCPC0005`\n"
            ));
            Exit::Failed
        })
    }

    /// What was read, for a data plane that resolves secrets from the same place.
    pub(crate) fn into_reach(self) -> Real {
        self.reach
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.reach.variable(name)?;
        Some(value.expose().to_owned())
    }
}
