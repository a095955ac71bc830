//! Asks every server of a plan once what it has, and ends all that was started for it.
//!
//! Owns how many are asked at once, for how long, and the end of it. A server is reached as a gateway
//! reaches it, by the same code: what is heard here is what clients would be shown, and what fails here
//! fails there. No client is served. What follows from the answers is the compiler's to say.

mod attended;

use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::{Access, Limits, Plan, Timeouts, Transport};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Reach;
use crate::failure::Failure;
use crate::keeper::{Keeper, KeeperThread};
use crate::list::{self, Terms};
use crate::list_kind::Kind;
use crate::reach::{CANNOT_EXECUTE, Ended};
use crate::refusal::Refusal;
use crate::reply::LocalReply;
use crate::resolved_plan::refusal;
use crate::upstream::{End, How, LADDER, Resolved, Upstream};
use attended::Attended;

/// How many servers run at once because of it.
const AT_ONCE: usize = 16;

/// How long a start may wait for others, beyond the time that it has for itself.
const TURNS: Duration = Duration::from_secs(20);

/// How long what has been ended may take to be gone: the ladder, and what a warden needs.
const CLEARING: Duration = Duration::from_secs(12);

/// Servers that are being asked. To be ended with [`Inquiry::end`].
pub struct Inquiry {
    heard: mpsc::Receiver<Heard>,
    stopping: watch::Sender<bool>,
    left: watch::Receiver<usize>,
    keeper: KeeperThread,
}

/// What one server, or one replica of it, has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The server.
    pub server: Box<str>,
    /// Which of its replicas; 0 if it has none.
    pub instance: usize,
    /// What it has.
    pub said: Result<Offer, Silence>,
}

/// What a server has, by its own names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Tools, by name.
    pub tools: Listed,
    /// Prompts, by name.
    pub prompts: Listed,
    /// Resources, by URI.
    pub resources: Listed,
    /// Templates of resources, by their text.
    pub templates: Listed,
}

/// One list of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The names, in the server's order.
    pub names: Vec<String>,
    /// Whether there was more than a plan takes.
    pub is_cut: bool,
}

/// Why a server has not said what it has. Holds no value of a secret, and no word of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// What it has not said.
    pub about: About,
    /// The code that calls would get.
    pub code: &'static str,
    /// Why.
    pub reason: String,
}

/// What a server was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// What it is.
    Itself,
    /// The list of this name, such as `tools`.
    List(&'static str),
}

/// What holds for every server of a plan.
struct House {
    limits: Limits,
    access: Access,
    keeper: Keeper,
    reach: Arc<dyn Reach>,
    stopping: watch::Receiver<bool>,
    turns: Arc<Semaphore>,
    heard: mpsc::Sender<Heard>,
}

/// One server, or one replica of it.
struct Subject {
    server: Box<str>,
    instance: usize,
    definition: mcpc_plan::Upstream,
}

impl Inquiry {
    /// Begins to ask. Nothing of the plan is listened on.
    ///
    /// # Errors
    /// The system gives no thread, or secrets cannot be read.
    pub fn begin(plan: &Plan, reach: Arc<dyn Reach>) -> Result<Self, Refusal> {
        reach.renew()?;
        reach.give_up_after(Duration::from_millis(plan.limits.unacknowledged_ms));
        let keeper =
            KeeperThread::start().map_err(|error| Refusal::system("start a thread", &error))?;
        keeper.keeper().let_start(plan.limits.starts);
        let (reach, left) = Attended::new(reach);
        let (tell, heard) = mpsc::channel(AT_ONCE);
        let stopping = watch::Sender::new(false);
        let house = House {
            limits: plan.limits.clone(),
            access: plan.access,
            keeper: keeper.keeper(),
            reach: Arc::new(reach),
            stopping: stopping.subscribe(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            heard: tell,
        };
        let subjects: Vec<Subject> = plan.upstreams.iter().flat_map(Subject::all).collect();
        keeper.keeper().spawn(ask_all(house, subjects));
        Ok(Self {
            heard,
            stopping,
            left,
            keeper,
        })
    }

    /// What the next one has said; nothing when all have been heard.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// Ends whatever still runs, and returns when nothing of it is left.
    pub async fn end(mut self) {
        self.stopping.send_replace(true);
        let gone = async {
            while self.heard.recv().await.is_some() {}
            // The sender lives with what may still launch something.
            let _gone = self.left.wait_for(|left| *left == 0).await;
        };
        // What cannot be killed hangs in the kernel, and its warden waits for it.
        let _in_time = timeout(CLEARING, gone).await;
        self.keeper.shutdown();
    }
}

async fn ask_all(house: House, subjects: Vec<Subject>) {
    let house = Arc::new(house);
    for subject in subjects {
        let turn = tokio::select! {
            turn = Arc::clone(&house.turns).acquire_owned() => turn,
            () = house.stopped() => return,
        };
        let of = Arc::clone(&house);
        house.keeper.spawn(async move {
            let said = subject.ask(&of).await;
            drop(turn);
            if let Some(said) = said {
                let heard = Heard {
                    server: subject.server,
                    instance: subject.instance,
                    said,
                };
                // Nobody listens any more if it is being ended.
                let _heard = of.heard.send(heard).await;
            }
        });
    }
}

impl House {
    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // Whoever is gone wants nothing more either.
        let _stopped = stopping.wait_for(|is_stopping| *is_stopping).await;
    }
}

impl Subject {
    fn all(upstream: &mcpc_plan::Upstream) -> Vec<Self> {
        let instances = upstream.instances().into_iter().enumerate();
        let subject = |(instance, definition)| Self {
            server: upstream.name.clone(),
            instance,
            definition,
        };
        instances.map(subject).collect()
    }

    /// Starts it, asks it, and ends it. Nothing if it was ended before it had answered.
    async fn ask(&self, house: &House) -> Option<Result<Offer, Silence>> {
        let resolved = Resolved::of(&self.definition, house.reach.as_ref());
        let begun = resolved.and_then(|secrets| {
            let (keeper, reach) = (&house.keeper, &house.reach);
            Upstream::start(&self.definition, secrets, keeper, reach, &house.limits)
        });
        let upstream = match begun {
            Ok(upstream) => upstream,
            Err(why) => {
                let Refusal { code, reason } = refusal(&self.server, &why);
                let about = About::Itself;
                return Some(Err(Silence {
                    about,
                    code,
                    reason,
                }));
            }
        };
        let said = tokio::select! {
            said = self.offer(house, &upstream) => Some(said),
            () = house.stopped() => None,
        };
        let calls = Instant::now();
        let all = calls + LADDER;
        upstream.end(End { calls, all }).await;
        said
    }

    async fn offer(&self, house: &House, upstream: &Arc<Upstream>) -> Result<Offer, Silence> {
        let deadline = Instant::now() + self.patience();
        let profile = timeout_at(deadline, upstream.profile(deadline + TURNS)).await;
        let profile = profile.unwrap_or(Err(Failure::FirstByteTimeout));
        profile.map_err(|failure| {
            let mut silence = silence(About::Itself, failure, upstream);
            if failure.is_timeout() {
                silence.reason = self.late(failure);
            }
            silence
        })?;
        Ok(Offer {
            tools: self.listed(house, upstream, Kind::Tools).await?,
            prompts: self.listed(house, upstream, Kind::Prompts).await?,
            resources: self.listed(house, upstream, Kind::Resources).await?,
            templates: self.listed(house, upstream, Kind::Templates).await?,
        })
    }

    async fn listed(
        &self,
        house: &House,
        upstream: &Arc<Upstream>,
        kind: Kind,
    ) -> Result<Listed, Silence> {
        let timeouts: &Timeouts = &self.definition.timeouts;
        let terms = Terms {
            name: &self.definition.name,
            timeouts,
            limits: &house.limits,
            access: house.access,
            is_sent_once: false,
        };
        let deadline = Instant::now() + Duration::from_millis(timeouts.list_ms);
        let part = timeout_at(deadline, list::pages(&terms, upstream, kind, deadline)).await;
        let part = part.unwrap_or(Err(Failure::FirstByteTimeout));
        let part = part.map_err(|why| {
            let mut silence = silence(About::List(list_name(kind)), why, upstream);
            if why.is_timeout() {
                silence.reason = late("timeouts.list", timeouts.list_ms);
            }
            silence
        })?;
        let names = part.entries.iter().filter_map(|entry| {
            let (_, name) = kind.own_name(entry)?;
            Some(name.into_owned())
        });
        Ok(Listed {
            names: names.collect(),
            is_cut: part.is_cut,
        })
    }

    fn late(&self, failure: Failure) -> String {
        let timeouts = &self.definition.timeouts;
        match &self.definition.transport {
            Transport::Stdio(stdio) => late("start.timeout", stdio.start.timeout_ms),
            Transport::Http(_) | Transport::Replicated(_) => match failure {
                Failure::ConnectTimeout => late("timeouts.connect", timeouts.connect_ms),
                _ => late("timeouts.list", timeouts.list_ms),
            },
        }
    }

    /// How long it may take to say what it is. A process has the time of its start, and twice as much with
    /// the question in which era it speaks; beyond a list's time nobody waits for a server over HTTP.
    fn patience(&self) -> Duration {
        match &self.definition.transport {
            Transport::Stdio(stdio) => Duration::from_millis(stdio.start.timeout_ms) * 2 + TURNS,
            Transport::Http(_) | Transport::Replicated(_) => {
                Duration::from_millis(self.definition.timeouts.list_ms)
            }
        }
    }
}

fn list_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Tools => "tools",
        Kind::Prompts => "prompts",
        Kind::Resources => "resources",
        Kind::Templates => "resource templates",
    }
}

fn silence(about: About, failure: Failure, upstream: &Upstream) -> Silence {
    let row = LocalReply::Upstream(failure).row();
    let ends = upstream.state().ends;
    let reason = match (failure, ends.first().map(|end| end.how)) {
        (Failure::Status(status), _) => format!("{}: {status}", row.text),
        (Failure::Handshake, _) => {
            "it answers, but not as an MCP server of a revision that is spoken here".to_owned()
        }
        (Failure::Unreachable | Failure::Closed, Some(How::Ended(ended))) => how_it_ended(ended),
        (Failure::Unreachable | Failure::Closed, Some(How::ClosedPipe)) => {
            "its process has closed its standard input or output".to_owned()
        }
        _ => row.text.to_owned(),
    };
    Silence {
        about,
        code: row.code,
        reason,
    }
}

/// The setting that bounds a wait is the one that may have to be changed.
fn late(setting: &str, wait_ms: u64) -> String {
    let wait = Duration::from_millis(wait_ms);
    format!("it did not answer within {wait:?} (`{setting}`)")
}

fn how_it_ended(ended: Ended) -> String {
    match ended {
        Ended::Code(CANNOT_EXECUTE) => "its program is not there, or cannot be executed".to_owned(),
        Ended::Code(code) => format!("its process ended with the exit code {code}"),
        Ended::Signal(signal) => format!("its process was ended by signal {signal}"),
        Ended::Starved(_) => {
            "it needs more memory than it may have, and was ended by the system".to_owned()
        }
        Ended::Crowded(count) => {
            format!("its process had {count} processes and threads, more than it may")
        }
    }
}
