//! Where `$<NAME>` gets its value when a configuration is compiled: the credentials file, then the
//! environment.
//!
//! Secret fields are not among what is read here: the plan keeps their templates, and the data
//! plane resolves them in the same order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mcpc_compiler::Variables;

/// The credentials file and the environment of this process.
pub(crate) struct Environment {
    credentials: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the credentials file, if there is one. One that cannot be used counts as empty, and
    /// `warning` says so.
    pub(crate) fn read(warning: impl FnOnce(&str)) -> Self {
        let text = credentials_path().and_then(|path| std::fs::read(path).ok());
        let credentials = match text.map(|text| serde_json::from_slice(&text)) {
            None => BTreeMap::new(),
            Some(Ok(credentials)) => credentials,
            Some(Err(_)) => {
                warning("the credentials file is not a JSON object of texts and is not used");
                BTreeMap::new()
            }
        };
        Self { credentials }
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        let credential = self.credentials.get(name).cloned();
        credential.or_else(|| std::env::var(name).ok())
    }
}

/// `mcpc/credentials.json` under `XDG_CONFIG_HOME`, or under `.config` in the home directory.
fn credentials_path() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("mcpc").join("credentials.json"))
}
