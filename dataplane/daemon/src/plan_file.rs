//! Plans from a file or standard input, as `mcpc plan --out` writes them.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mcpc_dataplane::Refusal;
use mcpc_plan::{Digest, Plan, PlanError};

use crate::{GatewayFlags, Plans, Rejected, Stage};

/// The largest plan that is read.
const BYTES_MAX: u64 = 256 << 20;

/// A plan in a file, and the addresses that win over those in it.
pub struct PlanFile {
    path: PathBuf,
    loaded: Option<Digest>,
    /// The content of standard input or a pipe: it cannot be read again.
    kept: Option<Vec<u8>>,
    addresses: Addresses,
}

/// The addresses that win over those of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl PlanFile {
    /// The plan in a file, with the addresses of the flags.
    pub fn new(path: PathBuf, flags: &GatewayFlags) -> Self {
        Self {
            path,
            loaded: None,
            kept: None,
            addresses: Addresses::of(flags),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        if is_standard(&self.path) {
            return read_all(io::stdin().lock());
        }
        read(&self.path)
    }
}

/// Reads a file that may be a plan.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let opened = File::open(path)?;
    if opened.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    read_all(opened)
}

fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

impl Addresses {
    /// Those that the flags give.
    pub(crate) fn of(flags: &GatewayFlags) -> Self {
        Self {
            listen: flags.listen,
            admin: flags.admin,
        }
    }

    /// Puts them in place of the plan's. The compiler proved that the plan is open to other machines
    /// only if it says so; another address must not undo that proof.
    pub(crate) fn put_into(self, mut plan: Plan) -> Result<Plan, Refusal> {
        if self.listen.is_none() && self.admin.is_none() {
            return Ok(plan);
        }
        if let Some(listen) = self.listen {
            hold(listen, plan.listener.allow_anonymous, "--listen")?;
            plan.listener.address = listen;
        }
        if let Some(admin) = self.admin {
            hold(admin, plan.admin.allow_anonymous, "--admin")?;
            plan.admin.address = admin;
        }
        plan.seal().map_err(|error| unusable(&error))
    }
}

impl Plans for PlanFile {
    fn load(&mut self) -> Result<Plan, Rejected> {
        let read = self.read();
        self.loaded = read.as_ref().ok().map(|bytes| Digest::of(bytes));
        let bytes = read.map_err(|error| Rejected::new(Stage::Unread, unreadable(&error)))?;
        if self.file().is_none() {
            self.kept = Some(bytes.clone());
        }
        let plan = Plan::from_bytes(&bytes).map_err(|error| Rejected {
            digest: claimed_digest(&bytes),
            ..Rejected::new(Stage::Read, unusable(&error))
        })?;
        let digest = plan.digest.clone();
        self.addresses.put_into(plan).map_err(|refusal| Rejected {
            digest: Some(digest),
            ..Rejected::new(Stage::Read, refusal)
        })
    }

    fn name(&self) -> String {
        if is_standard(&self.path) {
            return "<stdin>".to_owned();
        }
        self.path.display().to_string()
    }

    fn file(&self) -> Option<&Path> {
        let can_change = !is_standard(&self.path) && is_rereadable(&self.path);
        can_change.then_some(self.path.as_path())
    }

    fn loaded(&self) -> Option<Digest> {
        self.loaded.clone()
    }

    fn present(&self) -> Option<Digest> {
        self.read().ok().map(|bytes| Digest::of(&bytes))
    }
}

/// Whether a file name stands for standard input.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether a file gives its content again each time. A pipe does not, and opening one may block for
/// ever; what is not there may become a file.
pub fn is_rereadable(path: &Path) -> bool {
    path.metadata()
        .map_or(true, |file| file.is_file() || file.is_dir())
}

fn hold(address: SocketAddr, allow_anonymous: bool, flag: &str) -> Result<(), Refusal> {
    if address.ip().is_loopback() || allow_anonymous {
        return Ok(());
    }
    Err(Refusal {
        code: "MCPC8007",
        reason: format!(
            "{flag} {address} opens the plan to other machines, and the plan does not allow callers without identity"
        ),
    })
}

fn unusable(error: &PlanError) -> Refusal {
    Refusal {
        code: error.code(),
        reason: error.to_string(),
    }
}

fn unreadable(error: &io::Error) -> Refusal {
    let kind = error.kind();
    let code = match kind {
        io::ErrorKind::NotFound => "MCPC0001",
        io::ErrorKind::IsADirectory => "MCPC0002",
        _ => "MCPC0003",
    };
    Refusal {
        code,
        reason: format!("the plan cannot be read: {kind}"),
    }
}

/// The digest that refused bytes claim to have, so that operators can tell which file it was.
fn claimed_digest(bytes: &[u8]) -> Option<Digest> {
    #[derive(serde::Deserialize)]
    struct Claim {
        digest: Digest,
    }
    let claim: Claim = serde_json::from_slice(bytes).ok()?;
    let digits = claim.digest.as_str().strip_prefix("sha256:")?;
    let is_digest = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then_some(claim.digest)
}
