//! The plans that were live: what a gateway can go back to, and start from when it has to.
//!
//! Owns their order, their files in the state directory, and which were set aside when they were rolled
//! back. Does not decide when to go back (`operation`, `probation`). Nothing here stops traffic: what
//! cannot be written is said once, shown in status, and tried again.
//!
//! ```text
//! STATE/plans/<sha256 of the plan>.json   the canonical bytes; verified when they are read
//! STATE/plans/history.json                which of them, the live one first; those that were set aside
//! ```

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mcpc_dataplane::{Kept, Refusal};
use mcpc_plan::{Digest, Plan};
use serde::{Deserialize, Deserializer, Serialize};
use tracing::{info, warn};

use crate::durable::{sync_directory, write_in_one_step};
use crate::plan_file::{self, Addresses};

/// How many plans are kept: the live one and those before it.
pub(crate) const PLANS_KEPT: usize = 8;

/// The version of the index's form.
const FORMAT: u32 = 1;

const INDEX: &str = "history.json";

/// The index holds a few digests. A larger one is not ours.
const INDEX_BYTES_MAX: u64 = 64 * 1024;

/// The plans that were live, the newest first.
pub(crate) struct History {
    folder: Option<PathBuf>,
    addresses: Addresses,
    plans: Vec<Digest>,
    /// The plan before the live one, and the one that was live when the last probation began. One step back is
    /// possible without a disk, and from a full one.
    in_memory: Vec<Plan>,
    /// All that were gone back over since something else went live, the last one first. No more than are kept.
    set_aside: Vec<SetAside>,
    trouble: Option<String>,
    /// The trouble that was logged last.
    told: Option<String>,
}

/// A plan that was rolled back. No gateway starts with it that can start with the last good one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetAside {
    pub(crate) digest: Digest,
    pub(crate) by: By,
    pub(crate) reason: String,
}

/// Who rolled a plan back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    Operator,
    Probation,
    /// A probation that went back over it on its way: nobody knows whether it works.
    ProbationOfAnother,
}

impl SetAside {
    /// One that a probation went back over on its way.
    fn on_the_way(digest: Digest) -> Self {
        Self {
            digest,
            by: By::ProbationOfAnother,
            reason: "it had not passed its probation when the plan after it was rolled back"
                .to_owned(),
        }
    }

    /// Whether it goes live again only if somebody asks for it. One that nobody has judged gets a probation of its own.
    fn is_judged(&self) -> bool {
        self.by != By::ProbationOfAnother
    }

    /// What status and log say of it.
    pub(crate) fn refusal(&self) -> Refusal {
        let code = match self.by {
            By::Operator => "MCPC9610",
            By::Probation | By::ProbationOfAnother => "MCPC9611",
        };
        let reason = self.reason.clone();
        Refusal { code, reason }
    }
}

#[derive(Serialize, Deserialize)]
struct Index {
    format: u32,
    plans: Vec<Digest>,
    #[serde(deserialize_with = "set_aside")]
    set_aside: Vec<SetAside>,
}

impl History {
    /// What is known from before. What cannot be read is as if it were not there.
    pub(crate) fn open(state: Option<&Path>, addresses: Addresses) -> Self {
        let folder = state.map(|state| state.join("plans"));
        let mut history = Self {
            folder,
            addresses,
            plans: Vec::new(),
            in_memory: Vec::new(),
            set_aside: Vec::new(),
            trouble: None,
            told: None,
        };
        let read = history.folder.as_deref().map(read_index);
        match read {
            Some(Ok(index)) => {
                history.plans = index.plans;
                history.plans.truncate(PLANS_KEPT);
                history.set_aside = index.set_aside;
                history.set_aside.truncate(PLANS_KEPT);
            }
            Some(Err(error)) => history.find_again(&error),
            None => {}
        }
        history
    }

    /// Without an index, the plans are those that lie there, by when they were written. What was set aside is forgotten.
    fn find_again(&mut self, error: &io::Error) {
        let folder = self.folder.as_deref();
        self.plans = folder.map(plans_in).unwrap_or_default();
        // A new gateway has no index, and nothing is wrong with that.
        if self.plans.is_empty() && error.kind() == io::ErrorKind::NotFound {
            return;
        }
        let reason = format!("{INDEX}: {error}");
        let found = self.plans.len();
        warn!(
            code = "MCPC9613",
            reason,
            found,
            "the order of the plans kept from before cannot be read; their files tell it"
        );
    }

    /// The plan at this place, the newest first. What cannot be read is passed over.
    pub(crate) fn kept_at(&mut self, at: usize) -> Option<Plan> {
        self.read_from(at)
    }

    /// The plan before the live one, if there is one. What cannot be read is passed over.
    pub(crate) fn earlier(&mut self) -> Option<Plan> {
        self.read_from(1)
    }

    /// This plan, if it was live and can be read. The one that a probation is held against is in memory, however many
    /// have come after it.
    pub(crate) fn plan(&mut self, digest: &Digest) -> Option<Plan> {
        if let Some(plan) = self.remembered(digest) {
            return Some(plan.clone());
        }
        let at = self.plans.iter().position(|known| known == digest)?;
        let plan = self.read_from(at)?;
        (plan.digest == *digest).then_some(plan)
    }

    /// Why this plan was set aside, if it was, and nothing else went live since.
    pub(crate) fn set_aside(&self, digest: &Digest) -> Option<&SetAside> {
        self.set_aside.iter().find(|aside| aside.digest == *digest)
    }

    /// The same, if it goes live again only when somebody asks for it.
    pub(crate) fn judged(&self, digest: &Digest) -> Option<&SetAside> {
        self.set_aside(digest).filter(|aside| aside.is_judged())
    }

    /// A plan went live after another one. `good` is the one that it may yet give way to.
    pub(crate) fn went_live(&mut self, live: &Plan, before: Option<Plan>, good: &Digest) {
        self.plans.retain(|digest| *digest != live.digest);
        self.plans.insert(0, live.digest.clone());
        self.plans.truncate(PLANS_KEPT);
        self.in_memory.retain(|plan| plan.digest == *good);
        self.in_memory.extend(before);
        self.set_aside.clear();
        self.save(live);
    }

    /// The gateway has started with the plan at this place. Those after it could not be used, and are no longer
    /// something to go back to.
    pub(crate) fn resumed(&mut self, live: &Plan, at: usize) {
        let newer = ..self.plans.len().min(at + 1);
        self.plans
            .splice(newer, [live.digest.clone()])
            .for_each(drop);
        self.save(live);
    }

    /// A plan is live again, and those that came after it are no longer something to go back to.
    pub(crate) fn went_back(&mut self, live: &Plan, aside: SetAside) {
        let gone_over = match self.plans.iter().position(|digest| *digest == live.digest) {
            Some(at) => self.plans.drain(..at).collect(),
            // More have come after it than are kept.
            None if self.remembered(&live.digest).is_some() => {
                std::mem::replace(&mut self.plans, vec![live.digest.clone()])
            }
            // It was given other addresses when it was read.
            None => {
                let both = ..self.plans.len().min(2);
                self.plans
                    .splice(both, [live.digest.clone()])
                    .for_each(drop);
                Vec::new()
            }
        };
        self.in_memory.clear();
        self.put_aside(aside, gone_over);
        self.save(live);
    }

    /// What was rolled back comes first, then what was between it and the plan that is live again.
    fn put_aside(&mut self, aside: SetAside, gone_over: Vec<Digest>) {
        let between = gone_over.into_iter().map(SetAside::on_the_way);
        let earlier = std::mem::take(&mut self.set_aside);
        for next in std::iter::once(aside).chain(earlier).chain(between) {
            if self.set_aside(&next.digest).is_none() {
                self.set_aside.push(next);
            }
        }
        self.set_aside.truncate(PLANS_KEPT);
    }

    /// Whether there is a state directory at all.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether the disk does not hold what it should.
    pub(crate) fn is_troubled(&self) -> bool {
        self.trouble.is_some()
    }

    /// Writes again what could not be written.
    pub(crate) fn retry(&mut self, live: &Plan) {
        if self.is_troubled() {
            self.save(live);
        }
    }

    /// What operators see: the live plan, and those that it can be gone back to from. Those that a full disk has cost
    /// are not among them.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let folder = self.folder.as_deref()?;
        let is_there = |digest: &Digest| {
            self.remembered(digest).is_some() || file_of(folder, digest).is_file()
        };
        let (live, earlier) = self.plans.split_at(self.plans.len().min(1));
        let earlier = earlier.iter().filter(|digest| is_there(digest));
        Some(Kept {
            directory: folder.display().to_string(),
            plans: live.iter().chain(earlier).cloned().collect(),
            error: self.trouble.clone(),
        })
    }

    fn save(&mut self, live: &Plan) {
        let Some(folder) = self.folder.clone() else {
            return;
        };
        let saved = self.try_save(&folder, live);
        self.trouble = saved.err().map(|error| error.to_string());
    }

    /// Logs whether the disk holds what it should, if that has changed. Whoever reads the log and then looks
    /// at the status must find it there, so this comes after [`kept`](Self::kept) is shown.
    pub(crate) fn tell(&mut self, live: &Plan) {
        if self.trouble == self.told {
            return;
        }
        self.told = self.trouble.clone();
        if let Some(reason) = &self.trouble {
            let folder = self.folder.as_deref().unwrap_or(Path::new(""));
            warn!(
                code = "MCPC9613",
                reason,
                folder = %folder.display(),
                "the plan cannot be kept on disk; traffic goes on, and it is tried again"
            );
        } else {
            info!(plan = live.digest.short(), "the plan is kept on disk again");
        }
    }

    fn try_save(&mut self, folder: &Path, live: &Plan) -> io::Result<()> {
        make(folder)?;
        let kept = |plan: &&Plan| self.plans.contains(&plan.digest);
        for plan in std::iter::once(live).chain(&self.in_memory).filter(kept) {
            let path = file_of(folder, &plan.digest);
            if !path.is_file() {
                let bytes = plan.to_bytes().map_err(io::Error::other)?;
                write_in_one_step(&path, &bytes)?;
            }
        }
        // Those that could not be written when they were live are lost.
        self.plans
            .retain(|digest| file_of(folder, digest).is_file());
        let index = Index {
            format: FORMAT,
            plans: self.plans.clone(),
            set_aside: self.set_aside.clone(),
        };
        let text = serde_json::to_vec_pretty(&index).map_err(io::Error::other)?;
        write_in_one_step(&folder.join(INDEX), &text)?;
        self.sweep(folder)
    }

    /// Removes the files of plans that nobody can go back to, and what a crash has left of a write.
    fn sweep(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let is_kept = |name: &str| self.plans.iter().any(|digest| name == name_of(digest));
            if name.is_some_and(|name| is_own(name) && !is_kept(name)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The first plan from this place on that can be read; those before it that cannot are forgotten.
    fn read_from(&mut self, at: usize) -> Option<Plan> {
        while let Some(digest) = self.plans.get(at).cloned() {
            if let Some(plan) = self.remembered(&digest) {
                return Some(plan.clone());
            }
            match self.read(&digest) {
                Ok(plan) => return Some(plan),
                Err(reason) => {
                    let plan = digest.short();
                    warn!(
                        code = "MCPC9613",
                        plan, reason, "a plan kept from before cannot be used"
                    );
                    self.plans.remove(at);
                }
            }
        }
        None
    }

    fn remembered(&self, digest: &Digest) -> Option<&Plan> {
        self.in_memory.iter().find(|plan| plan.digest == *digest)
    }

    fn read(&self, digest: &Digest) -> Result<Plan, String> {
        let folder = self.folder.as_deref().ok_or("it was never written")?;
        let path = file_of(folder, digest);
        let bytes = regular(&path).and_then(|()| plan_file::read(&path));
        let bytes = bytes.map_err(|error| error.to_string())?;
        let plan = Plan::from_bytes(&bytes).map_err(|error| error.to_string())?;
        if plan.digest != *digest {
            return Err("the file holds another plan".to_owned());
        }
        self.addresses
            .put_into(plan)
            .map_err(|refusal| refusal.reason)
    }
}

/// Older indexes hold one or none.
fn set_aside<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SetAside>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        All(Vec<SetAside>),
        Older(Option<SetAside>),
    }
    Ok(match Form::deserialize(from)? {
        Form::All(all) => all,
        Form::Older(one) => one.into_iter().collect(),
    })
}

fn read_index(folder: &Path) -> io::Result<Index> {
    let mut bytes = Vec::new();
    let path = folder.join(INDEX);
    regular(&path)?;
    let file = fs::File::open(path)?;
    file.take(INDEX_BYTES_MAX).read_to_end(&mut bytes)?;
    let index: Index = serde_json::from_slice(&bytes)?;
    if index.format != FORMAT || !index.plans.iter().all(is_digest) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(index)
}

/// The plans whose files lie in a folder, the newest first. Whether they are whole shows when they are read.
fn plans_in(folder: &Path) -> Vec<Digest> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let written = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let digest = Digest::from_digits(name.strip_suffix(".json")?)?;
        Some((entry.metadata().ok()?.modified().ok()?, digest))
    };
    let mut found: Vec<_> = entries.filter_map(written).collect();
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    let newest = found.into_iter().take(PLANS_KEPT);
    newest.map(|(_, digest)| digest).collect()
}

/// Refuses what is no file: opening a pipe would wait for whoever writes to it.
fn regular(path: &Path) -> io::Result<()> {
    let is_file = fs::metadata(path)?.is_file();
    is_file
        .then_some(())
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// For its owner only, as all that a gateway keeps. A new one lasts, or what is written into it would not.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let is_new = !folder.is_dir();
    builder.recursive(true).create(folder)?;
    match folder.parent() {
        Some(state) if is_new => sync_directory(state),
        _ => Ok(()),
    }
}

/// A digest becomes a file's name, so it must be nothing else.
fn is_digest(digest: &Digest) -> bool {
    let digits = digest.as_str().strip_prefix("sha256:");
    digits.and_then(Digest::from_digits).is_some()
}

fn name_of(digest: &Digest) -> String {
    let digits = digest.as_str().strip_prefix("sha256:");
    format!("{}.json", digits.unwrap_or_default())
}

fn file_of(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(name_of(digest))
}

/// Whether a file of this name was made here: a plan, or the unfinished write of one.
fn is_own(name: &str) -> bool {
    let is_plan = name.strip_suffix(".json").and_then(Digest::from_digits);
    is_plan.is_some() || name.starts_with(".tmp")
}
