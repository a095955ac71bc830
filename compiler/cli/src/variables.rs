//! Where `$<NAME>` gets its value when a configuration is compiled: the credentials file, then the
//! environment, exactly as the data plane looks up secrets.
//!
//! Secret fields are not among what is read here: the plan keeps their templates, and the data
//! plane resolves them.

use mcpc_compiler::Variables;
use mcpc_dataplane::{Reach, Real, Refusal};

use crate::Exit;
use crate::terminal::{say, told};

/// The credentials file and the environment of this process.
pub(crate) struct Environment {
    reach: Real,
}

impl Environment {
    /// Reads the credentials file, if there is one.
    ///
    /// # Errors
    /// It is there and cannot be used.
    pub(crate) fn read() -> Result<Self, Refusal> {
        Real::new().map(|reach| Self { reach })
    }

    /// What was read, for a data plane that resolves secrets from the same place.
    pub(crate) fn into_reach(self) -> Real {
        self.reach
    }
}

/// Says on standard error why the credentials file cannot be used.
pub(crate) fn unusable(refusal: &Refusal) -> Exit {
    say(&told(refusal));
    Exit::Failed
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.reach.variable(name)?;
        Some(value.expose().to_owned())
    }

    fn has_file(&self, path: &str) -> bool {
        self.reach.file(path).is_ok()
    }
}
