//! Plans as they are read, as `mcpc plan --out` writes them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mcpc_dataplane::{Reach, Refusal};
use mcpc_plan::{Digest, Plan, PlanError};

use crate::content::{Content, Texts, Unread, read_file};
use crate::{GatewayFlags, Plans, Rejected, Stage, remote};

/// The largest plan that is read.
const BYTES_MAX: u64 = 256 << 20;

/// A plan somewhere, and the addresses that win over those in it.
pub struct PlanFile {
    content: Content,
    addresses: Addresses,
}

/// The addresses that win over those of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl PlanFile {
    /// The plan at a path or URL, with the addresses of the flags.
    ///
    /// # Errors
    /// A URL that cannot be used.
    pub fn new(
        place: &Path,
        flags: &GatewayFlags,
        reach: &Arc<dyn Reach>,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            content: Content::of(place, BYTES_MAX, reach)?,
            addresses: Addresses::of(flags),
        })
    }
}

/// Reads a file that may be a plan.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    held(read_file(path, BYTES_MAX)?)
}

fn held(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
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
        let name = self.content.name();
        let read = self.content.read().and_then(|texts| {
            let held = match texts {
                Texts::One(bytes) => held(bytes),
                Texts::Files(_) => Err(io::ErrorKind::IsADirectory.into()),
            };
            held.map_err(|error| Unread::File(name, error))
        });
        let bytes = read.map_err(|unread| Rejected::new(Stage::Unread, unreadable(&unread)))?;
        let plan = Plan::from_bytes(&bytes).map_err(|error| Rejected {
            digest: claimed_digest(&bytes),
            ..Rejected::new(Stage::Read, unusable(&error))
        })?;
        let (digest, fallback) = (plan.digest.clone(), plan.fallback);
        self.addresses.put_into(plan).map_err(|refusal| Rejected {
            digest: Some(digest),
            fallback: Some(fallback),
            ..Rejected::new(Stage::Read, refusal)
        })
    }

    fn content(&self) -> &Content {
        &self.content
    }
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

fn unreadable(unread: &Unread) -> Refusal {
    let error = match unread {
        Unread::File(_, error) => error,
        Unread::Empty => &io::ErrorKind::IsADirectory.into(),
        Unread::Url(reason) => return remote::unusable(reason),
    };
    let code = match error.kind() {
        io::ErrorKind::NotFound => "MCPC0001",
        io::ErrorKind::IsADirectory => "MCPC0002",
        _ => "MCPC0003",
    };
    Refusal {
        code,
        reason: format!("the plan cannot be read: {error}"),
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
