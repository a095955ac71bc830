//! One child process from its start to its end.
//!
//! Owns the start of a process with the three tasks that serve its pipes, the handshake in either
//! era, and the ladder that ends it: end of input, SIGTERM, SIGKILL, each with a bounded wait. Does
//! not decide when to start again: `keep` does. Runs on the keeper's thread only.

use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::StdioTransport;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::ends::{How, Last};
use super::former::Former;
use super::handshake::{
    HANDSHAKE_ID, INITIALIZED, Proof, Verdict, discover_message, initialize_message, judge,
};
use super::label::Label;
use super::masks::Masks;
use super::presence::Stage;
use super::stdio::{self, Link};
use super::{Upstream, revision, stderr};
use crate::Secret;
use crate::ask::kind::DECLARED_TO_PROCESSES;
use crate::call::{Era, Event, Reply};
use crate::failure::Failure;
use crate::profile::Profile;
use crate::reach::{CANNOT_CONFINE, CANNOT_EXECUTE, Ended, Launch, Reach, ReachFuture, Signals};
use crate::shortage;

/// The longest ladder. A third of it is for a process to end by itself once its input has ended, half
/// of it for what SIGTERM asks, and the rest for the system to end it after SIGKILL.
pub(crate) const LADDER: Duration = Duration::from_secs(6);

/// The ladder of a process that no caller has used: it has nothing to finish, and the next one waits for
/// its end.
const LADDER_UNUSED: Duration = Duration::from_secs(2);

/// How long the last words of a process that has ended are waited for. What it has started is about to die, and
/// cannot hold its pipes open for long.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long the end of a process that has closed a pipe is waited for, before it counts as one that lives. Nobody
/// waits meanwhile but the next process, and that would wait for this one in any case; if it is its input that is
/// closed, those wait as well that may yet hear an answer.
const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// How long the id of a process that runs may take to be known. It is told with the start.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// The longest wait for an answer to the probe. A server that is silent then is taken for legacy.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// How to start a process.
pub(super) struct Program {
    pub(super) definition: StdioTransport,
    pub(super) env: Vec<(Box<str>, Secret)>,
    pub(super) reach: Arc<dyn Reach>,
}

/// A process that runs. Must be ended with [`Child::stop`], or left to a [`Former`] with [`Child::retire`].
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that become known one by one, in no fixed order"
)]
pub(super) struct Child {
    server: Label,
    /// Until it is known.
    started: Option<ReachFuture<u32>>,
    id: u32,
    pub(super) link: Arc<Link>,
    ended: ReachFuture<Ended>,
    cleared: ReachFuture<()>,
    signals: Box<dyn Signals>,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
    talk: JoinHandle<()>,
    /// One of the pipes is closed or the process has ended.
    is_ending: bool,
    /// The end of the process, until it is looked at.
    end: Option<std::io::Result<Ended>>,
    /// Its calls have been told of its end.
    is_gone: bool,
    has_ended: bool,
    how: Option<How>,
    /// It has to lock itself in before it becomes the program.
    is_confined: bool,
    /// False once it is known that there is no such program, or that it cannot be executed.
    is_program: bool,
    /// What the system denies the gateway, if that is why there is no process.
    denied: Option<Failure>,
}

impl Child {
    /// Starts a process and serves its pipes.
    pub(super) fn launch(program: &Program, upstream: &Arc<Upstream>) -> Result<Self, Failure> {
        let launch = Launch {
            definition: &program.definition,
            env: &program.env,
        };
        let process = program.reach.launch(&launch).map_err(|error| {
            tracing::error!(server = %upstream.name, %error, "the process did not start");
            not_started(&error).unwrap_or(Failure::Unreachable)
        })?;
        let (link, inbox) = Link::new();
        let reading = stdio::read_all(process.stdout, Arc::clone(&link), Arc::clone(upstream));
        let values = program.env.iter().map(|(_, value)| value);
        let masks = Masks::of(values.chain(&upstream.resolved.secrets));
        let talk = stderr::drain(process.stderr, upstream.name.clone(), masks);
        Ok(Self {
            server: upstream.name.clone(),
            started: Some(process.started),
            id: 0,
            link,
            ended: process.ended,
            cleared: process.cleared,
            signals: process.signals,
            writer: tokio::spawn(stdio::write_all(process.stdin, inbox)),
            reader: tokio::spawn(reading),
            talk: tokio::spawn(talk),
            is_ending: false,
            end: None,
            is_gone: false,
            has_ended: false,
            how: None,
            is_confined: program.definition.sandbox.is_some(),
            is_program: true,
            denied: None,
        })
    }

    /// Waits until the process has ended or closed one of its pipes. Its last words may still come.
    pub(super) async fn ending(&mut self) {
        if self.is_ending {
            return;
        }
        self.end = tokio::select! {
            ended = &mut self.ended => Some(ended),
            _end = &mut self.reader => None,
            _broken = &mut self.writer => None,
        };
        self.is_ending = true;
    }

    /// The same, and waits for the last words. Whoever waits for an answer has been told when this returns.
    pub(super) async fn gone(&mut self) {
        if self.is_gone {
            return;
        }
        self.ending().await;
        if self.reader.is_finished() {
            // It has said all that it ever will: nobody has to know how it ends to be told so.
            self.link.close();
        }
        if self.end.is_none() {
            // Mostly a pipe closes because the process ends, and its end says more.
            self.end = timeout(LAST_MOMENTS, &mut self.ended).await.ok();
        }
        self.has_ended = self.end.is_some();
        let pid = self.id().await;
        let ended = self.end.take();
        self.is_gone = true;
        self.how = Some(match &ended {
            Some(Ok(ended)) => How::Ended(*ended),
            Some(Err(_)) => How::Lost,
            None => How::ClosedPipe,
        });
        let server = &self.server;
        match &ended {
            Some(Ok(Ended::Code(CANNOT_EXECUTE))) => {
                // Which program, and why not, is what the process has said on its way out.
                tracing::error!(%server, pid, "the program cannot be executed");
                self.is_program = false;
            }
            Some(Ok(Ended::Code(CANNOT_CONFINE))) if self.is_confined => {
                // Why is what the process has said on its way out.
                tracing::error!(%server, pid, "the server is not started without its sandbox");
                self.denied = Some(Failure::NotConfined);
                self.how = Some(How::NotConfined);
            }
            Some(Ok(Ended::Crowded(count))) => {
                tracing::error!(%server, pid, count, "the server has more processes and threads than it may, and was ended");
            }
            Some(Ok(Ended::Starved(count))) => {
                tracing::error!(%server, pid, count, "the server has no more memory, and was ended by the system");
            }
            Some(Ok(ended)) => tracing::warn!(%server, pid, ?ended, "the process has ended"),
            Some(Err(error)) => {
                tracing::warn!(%server, pid, %error, "the process is lost");
                self.denied = not_started(error);
                if self.denied == Some(Failure::NotConfined) {
                    self.how = Some(How::NotConfined);
                }
            }
            None => tracing::warn!(%server, pid, "the process has closed a pipe"),
        }
        if self.has_ended && !self.reader.is_finished() {
            // The last answer may still lie in the pipe.
            let _heard = timeout(LAST_WORDS, &mut self.reader).await;
        }
        self.link.close();
    }

    /// What is known of its end.
    async fn last(&mut self) -> Last {
        Last {
            pid: self.id().await,
            how: self.how,
        }
    }

    /// The process id; 0 if it is not known although the process had time to start.
    pub(super) async fn id(&mut self) -> u32 {
        if let Some(started) = &mut self.started
            && let Ok(id) = timeout(FIRST_WORD, started).await
        {
            self.started = None;
            self.id = id.unwrap_or(0);
        }
        self.id
    }

    /// Ends the process and everything that it has started by then, whatever they do.
    pub(super) async fn stop(mut self, by: Instant) {
        let ladder = by.saturating_duration_since(Instant::now()).min(LADDER);
        self.writer.abort();
        self.link.close();
        if !self.has_ended && !self.ends_within(ladder / 3).await {
            self.signals.terminate();
            if !self.ends_within(ladder / 2).await {
                self.signals.kill();
                self.ends_within(ladder / 6).await;
            }
        }
        // Whoever left its group, and lives on without it, ends by force.
        let _cleared = timeout(ladder / 6, &mut self.cleared).await;
        self.reader.abort();
        self.talk.abort();
    }

    async fn ends_within(&mut self, wait: Duration) -> bool {
        self.has_ended = timeout(wait, &mut self.ended).await.is_ok();
        self.has_ended
    }

    /// Ends the process without waiting for it: whoever starts the next one does. What is known of it is
    /// left for the record.
    pub(super) async fn retire(mut self, upstream: &Upstream, former: &mut Former) {
        former.last = self.last().await;
        former.end(upstream, self.stop(Instant::now() + LADDER));
    }

    /// Sends one of the gateway's own requests and waits for its reply. The end of the process is
    /// an answer of a kind, and nobody needs one any more once the upstream has left the plan.
    async fn ask(
        &mut self,
        message: Vec<u8>,
        by: Instant,
        upstream: &Upstream,
    ) -> Result<Reply, Failure> {
        let link = Arc::clone(&self.link);
        let asking = async move {
            let wait = by.saturating_duration_since(Instant::now());
            let mut events = link.ask(message, HANDSHAKE_ID, by, wait, by).await?;
            loop {
                if let Event::Done(reply) = events.next().await? {
                    return Ok(reply);
                }
            }
        };
        let reply = tokio::select! {
            biased;
            reply = asking => reply,
            () = upstream.drained() => Err(Failure::Stopped),
            () = self.gone() => Err(Failure::Closed),
        };
        if matches!(reply, Err(Failure::Closed)) {
            // What is known of its end says what kind of failure this is.
            self.gone().await;
        }
        reply
    }

    /// The same for one that did not get ready, or was only asked what it speaks. If the upstream has left the plan
    /// there is no next one, and its end is waited for here.
    async fn discard(mut self, failure: Failure, upstream: &Upstream, former: &mut Former) {
        former.last = self.last().await;
        if failure == Failure::Stopped {
            upstream.publish(Stage::Stopping);
            self.stop(upstream.gone_by()).await;
        } else {
            former.end(upstream, self.stop(Instant::now() + LADDER_UNUSED));
        }
    }
}

/// Starts a process and negotiates with it. An automatic probe never speaks to the process that a
/// legacy session will use: servers fix their era by the first message they get. What is known of the
/// process that failed is left in `former`.
pub(super) async fn open(
    program: &Program,
    upstream: &Arc<Upstream>,
    era: mcpc_plan::Era,
    verdict: &mut Option<Verdict>,
    former: &mut Former,
) -> Result<(Child, Profile), Failure> {
    let patience = Duration::from_millis(program.definition.start.timeout_ms);
    let known = match era {
        mcpc_plan::Era::Modern => Some(Era::Modern),
        mcpc_plan::Era::Legacy => Some(Era::Legacy),
        mcpc_plan::Era::Auto => verdict
            .filter(Verdict::is_believed)
            .map(|verdict| verdict.era),
    };
    if known != Some(Era::Legacy) {
        let wait = match known {
            Some(_) => patience,
            None => PROBE_MAX.min(patience / 2),
        };
        match probe(program, upstream, wait, former).await? {
            Ok(opened) => {
                *verdict = Some(Verdict::of(Era::Modern));
                return Ok(opened);
            }
            Err(failure) if era == mcpc_plan::Era::Modern => return Err(failure),
            // A server that only speaks later revisions is not asked to speak older ones.
            Err(Failure::Handshake) => return Err(Failure::Handshake),
            Err(_) => *verdict = None,
        }
    }
    let opened = initialize(program, upstream, patience, former).await;
    // A program that refuses the old handshake is asked the modern question next time.
    *verdict = opened.is_ok().then(|| Verdict::after_initialize(*verdict));
    opened
}

/// Starts a process and asks it the modern question. A modern process is kept; of any other only
/// the verdict is. The outer failure is one that says nothing about the era.
async fn probe(
    program: &Program,
    upstream: &Arc<Upstream>,
    wait: Duration,
    former: &mut Former,
) -> Result<Result<(Child, Profile), Failure>, Failure> {
    let mut child = launch(program, upstream, former).await?;
    let by = Instant::now() + wait;
    let asked = child.ask(discover_message().into(), by, upstream).await;
    let failure = match asked {
        Ok(reply) => match judge(&reply, false, &upstream.bounds) {
            Proof::Modern(profile) => {
                shortage::PROCESSES.end();
                return Ok(Ok((child, profile)));
            }
            Proof::Foreign => Failure::Handshake,
            Proof::NotModern => Failure::Refused,
        },
        Err(failure) => child.denied.unwrap_or_else(|| told_at_start(failure)),
    };
    let says_era = failure != Failure::Stopped && child.is_program && child.denied.is_none();
    child.discard(failure, upstream, former).await;
    if says_era {
        Ok(Err(failure))
    } else {
        // Another process of the same program would end in the same way.
        Err(failure)
    }
}

async fn initialize(
    program: &Program,
    upstream: &Arc<Upstream>,
    patience: Duration,
    former: &mut Former,
) -> Result<(Child, Profile), Failure> {
    let mut child = launch(program, upstream, former).await?;
    let by = Instant::now() + patience;
    let asked = child
        .ask(
            initialize_message(DECLARED_TO_PROCESSES).into(),
            by,
            upstream,
        )
        .await;
    let profile = match asked {
        Ok(Reply::Result(result)) => {
            let nesting = upstream.bounds.nesting;
            revision::of_initialize(&result, nesting).ok_or(Failure::Handshake)
        }
        Ok(Reply::Error(_)) => Err(Failure::Handshake),
        Err(failure) => Err(child.denied.unwrap_or_else(|| told_at_start(failure))),
    };
    let told = match profile {
        Ok(profile) => child
            .link
            .write(INITIALIZED.to_vec(), by)
            .await
            .map(|()| profile),
        Err(failure) => Err(failure),
    };
    match told {
        Ok(profile) => {
            shortage::PROCESSES.end();
            Ok((child, profile))
        }
        Err(failure) => {
            child.discard(failure, upstream, former).await;
            Err(failure)
        }
    }
}

/// What it means that the system starts no process; nothing if that is not known.
fn not_started(error: &std::io::Error) -> Option<Failure> {
    if error.kind() == std::io::ErrorKind::Unsupported {
        return Some(Failure::NotConfined);
    }
    shortage::of_process(error)
}

/// The first moments of a process, which begin when nothing of the one before is left. What the system
/// denies it leaves no process to ask how it ended.
async fn launch(
    program: &Program,
    upstream: &Arc<Upstream>,
    former: &mut Former,
) -> Result<Child, Failure> {
    tokio::select! {
        biased;
        () = former.gone() => {}
        () = upstream.drained() => return Err(Failure::Stopped),
    }
    Child::launch(program, upstream).inspect_err(|failure| {
        former.last = Last {
            pid: 0,
            how: (*failure == Failure::NotConfined).then_some(How::NotConfined),
        };
    })
}

/// What a failure before the first answer means to a caller: nothing has reached the server.
fn told_at_start(failure: Failure) -> Failure {
    match failure {
        Failure::Closed => Failure::Unreachable,
        Failure::FirstByteTimeout | Failure::IdleTimeout | Failure::TotalTimeout => {
            Failure::ConnectTimeout
        }
        other => other,
    }
}
