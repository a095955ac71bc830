//! How hard pressed the gateway is, and what it gives up first: idle connections, then new sessions, then
//! new calls.
//!
//! Owns the stages, when each begins and ends, and what the log says of it. Looks a few times a second, on
//! the keeper's thread; whoever serves asks for the stage, which is one load. What is given up, is given up
//! where it is: connections in `server`, sessions and calls in `serve`. See
//! `docs/decisions/0039-shedding.md`.

#[cfg(target_os = "linux")]
use std::os::unix::fs::FileExt as _;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use mcpc_plan::Limits;
use tokio::time::{Instant, sleep};

use crate::descriptors;
use crate::pipeline::Plane;
use crate::reply::{LocalReply, Shed};
use crate::status::{PressureStatus, Stage};
use crate::timestamp::Timestamp;

/// How often the gateway looks.
const PACE: Duration = Duration::from_millis(250);

/// A stage ends when everything was below its threshold, less a tenth, for so long.
const CALM: Duration = Duration::from_secs(2);

/// Ratios are counted in thousandths.
const WHOLE: u32 = 1000;

/// How many things there may be too little of.
const RESOURCES: usize = 5;

/// What there may be too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    /// Of those that clients and servers share, so that clients alone use half of it at most.
    Descriptors,
    Connections,
    Sessions,
    Memory,
    /// Under way at servers, however they came.
    Calls,
}

/// At which ratio each stage begins; nothing where it would not help. Sessions at their limit are refused
/// by the registry itself (MCPC9203). Calls go on without descriptors: most need no new one.
const THRESHOLDS: [(Resource, &str, [Option<u32>; 3]); RESOURCES] = [
    (
        Resource::Descriptors,
        "descriptors",
        [Some(450), Some(900), None],
    ),
    (
        Resource::Connections,
        "connections",
        [Some(900), None, None],
    ),
    (Resource::Sessions, "sessions", [None, None, None]),
    (
        Resource::Memory,
        "memory",
        [Some(800), Some(900), Some(950)],
    ),
    (Resource::Calls, "calls", [None, Some(900), Some(1000)]),
];

/// The pressure on one gateway.
#[derive(Default)]
pub(crate) struct Pressure {
    stage: AtomicU8,
    /// Whether connections end with their next reply.
    is_brief: AtomicBool,
    /// When it began, in milliseconds since 1970.
    since_ms: AtomicU64,
    /// In the order of [`THRESHOLDS`].
    ratios: [AtomicU32; RESOURCES],
    /// In bytes; zero if nobody knows.
    memory: AtomicU64,
    /// What the container may hold, in bytes; zero if there is no bound.
    container: AtomicU64,
    /// How many calls were under way when they were counted last.
    calls: AtomicU64,
    connections_shed: AtomicU64,
    sessions_shed: AtomicU64,
    calls_shed: AtomicU64,
}

/// What decides about stages: pure, so that its time can be any.
struct Judge {
    stage: Stage,
    calm_since: Option<Instant>,
}

impl Pressure {
    /// What is given up now.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Nothing,
            1 => Stage::Connections,
            2 => Stage::Sessions,
            _ => Stage::Calls,
        }
    }

    /// Whether no connection is kept after a reply. For want of descriptors alone, each listener decides by
    /// who waits: a client that has to come back would stand behind those who are silent.
    pub(crate) fn is_brief(&self) -> bool {
        self.is_brief.load(Ordering::Relaxed)
    }

    /// Why a request is not taken now, if it is not. What is under way goes on, and so do the answers of
    /// clients, which end what waits for them.
    pub(crate) fn refuses(&self, method: &[u8]) -> Option<LocalReply> {
        let stage = self.stage.load(Ordering::Relaxed);
        if stage < Stage::Sessions as u8 {
            return None;
        }
        match method {
            b"ping" => None,
            b"initialize" => {
                self.sessions_shed.fetch_add(1, Ordering::Relaxed);
                Some(LocalReply::Shed(Shed::Session))
            }
            _ if stage < Stage::Calls as u8 => None,
            _ => {
                self.calls_shed.fetch_add(1, Ordering::Relaxed);
                Some(LocalReply::Shed(Shed::Call))
            }
        }
    }

    /// So many idle connections were closed.
    pub(crate) fn note_closed(&self, connections: u64) {
        if connections > 0 {
            self.connections_shed
                .fetch_add(connections, Ordering::Relaxed);
        }
    }

    /// The memory that the process holds, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        let bytes = self.memory.load(Ordering::Relaxed);
        (bytes > 0).then_some(bytes)
    }

    /// What the container may hold, in bytes. Holds where the plan sets no bound.
    pub(crate) fn bound_memory(&self, container: Option<u64>) {
        self.container
            .store(container.unwrap_or(0), Ordering::Relaxed);
    }

    /// How much memory the gateway may hold, in bytes, if there is a bound.
    pub(crate) fn memory_limit(&self, limits: &Limits) -> Option<u64> {
        let container = self.container.load(Ordering::Relaxed);
        limits
            .memory_bytes
            .or_else(|| (container > 0).then_some(container))
    }

    /// How many calls are under way, as counted a moment ago.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How much is used of what there is.
    pub(crate) fn ratios(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let names = THRESHOLDS.iter().map(|(_, name, _)| *name);
        let ratios = self.ratios.iter();
        let ratios =
            ratios.map(|ratio| f64::from(ratio.load(Ordering::Relaxed)) / f64::from(WHOLE));
        names.zip(ratios)
    }

    /// What was given up so far.
    pub(crate) fn shed(&self) -> [(&'static str, u64); 3] {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("connections", load(&self.connections_shed)),
            ("sessions", load(&self.sessions_shed)),
            ("calls", load(&self.calls_shed)),
        ]
    }

    /// What operators see.
    pub(crate) fn status(&self) -> PressureStatus {
        let percents = THRESHOLDS
            .iter()
            .zip(&self.ratios)
            .map(|((_, name, _), ratio)| {
                let percent = ratio.load(Ordering::Relaxed) * 100 / WHOLE;
                ((*name).to_owned(), percent)
            });
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        PressureStatus {
            stage: self.stage(),
            since: (since_ms > 0).then(|| Timestamp::from_unix_ms(since_ms)),
            percent: percents.collect(),
            shed: self
                .shed()
                .map(|(what, count)| (what.to_owned(), count))
                .into(),
        }
    }

    fn look(&self, plane: &Plane, memory: Option<u64>, judge: &mut Judge) {
        self.memory.store(memory.unwrap_or(0), Ordering::Relaxed);
        let live = plane.live.load();
        let limits = &live.limits;
        let (fds, fds_most) = descriptors::shared_in_use();
        let open = plane.connections.load(Ordering::Relaxed);
        let servers = live.servers.iter();
        let calls = servers.map(|(_, replicas)| replicas.in_flight()).sum();
        self.calls.store(calls, Ordering::Relaxed);
        let used = [
            ratio(fds, fds_most),
            ratio(open.into(), limits.connections.into()),
            ratio(plane.sessions.count().into(), limits.sessions.into()),
            match (memory, self.memory_limit(limits)) {
                (Some(held), Some(most)) => ratio(held, most),
                (Some(_) | None, _) => 0,
            },
            ratio(calls, limits.calls.into()),
        ];
        for (place, ratio) in self.ratios.iter().zip(used) {
            place.store(ratio, Ordering::Relaxed);
        }
        let mut others = used;
        let [descriptors, ..] = &mut others;
        *descriptors = 0;
        let without_descriptors = stage_of(others, |threshold| threshold);
        self.is_brief
            .store(without_descriptors >= Stage::Connections, Ordering::Relaxed);
        let before = judge.stage;
        let stage = judge.judge(used, Instant::now());
        if stage == before {
            return;
        }
        self.stage.store(stage as u8, Ordering::Relaxed);
        let now = Timestamp::now().unix_ms();
        self.since_ms.store(now, Ordering::Relaxed);
        say(before, stage, &self.status());
    }
}

fn say(before: Stage, stage: Stage, status: &PressureStatus) {
    let percent = &status.percent;
    let gives_up = match stage {
        Stage::Nothing => "nothing is given up any more",
        Stage::Connections => "idle connections are closed, and none is kept",
        Stage::Sessions => "no new session begins",
        Stage::Calls => "no new call is taken",
    };
    // What clients are told from here on; idle ones are told nothing.
    let refuses = match stage {
        Stage::Nothing | Stage::Connections => None,
        Stage::Sessions => Some(Shed::Session),
        Stage::Calls => Some(Shed::Call),
    };
    let code = refuses.map(|shed| LocalReply::Shed(shed).row().code);
    if stage > before {
        tracing::warn!(code, ?percent, "under pressure: {gives_up}");
    } else {
        tracing::info!(code, ?percent, "the pressure has eased: {gives_up}");
    }
}

impl Judge {
    const fn new() -> Self {
        Self {
            stage: Stage::Nothing,
            calm_since: None,
        }
    }

    /// The stage for these ratios. It rises at once, and falls when they have been low for a while.
    fn judge(&mut self, used: [u32; RESOURCES], now: Instant) -> Stage {
        let wanted = stage_of(used, |threshold| threshold);
        let held = stage_of(used, |threshold| threshold - threshold / 10);
        if wanted > self.stage {
            self.stage = wanted;
        }
        if held >= self.stage {
            self.calm_since = None;
            return self.stage;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now - since >= CALM {
            self.stage = held;
            self.calm_since = None;
        }
        self.stage
    }
}

/// The highest stage of which a threshold is reached.
fn stage_of(used: [u32; RESOURCES], threshold_of: impl Fn(u32) -> u32) -> Stage {
    let reaches = |stage: usize| {
        let mut each = THRESHOLDS.iter().zip(used);
        each.any(|((_, _, thresholds), used)| {
            let threshold = thresholds.get(stage).copied().flatten();
            threshold.is_some_and(|threshold| used >= threshold_of(threshold))
        })
    };
    if reaches(2) {
        Stage::Calls
    } else if reaches(1) {
        Stage::Sessions
    } else if reaches(0) {
        Stage::Connections
    } else {
        Stage::Nothing
    }
}

/// In thousandths. Of nothing, everything is used.
fn ratio(used: u64, most: u64) -> u32 {
    let thousandths = used.saturating_mul(WHOLE.into()) / most.max(1);
    u32::try_from(thousandths).unwrap_or(u32::MAX)
}

/// Looks for as long as the gateway lives.
pub(crate) async fn watch(plane: Weak<Plane>) {
    let memory = Memory::open();
    let mut judge = Judge::new();
    loop {
        let Some(plane) = plane.upgrade() else {
            return;
        };
        plane.pressure.look(&plane, memory.held(), &mut judge);
        drop(plane);
        sleep(PACE).await;
    }
}

/// How much memory the process holds, as the system tells it. The file stays open: without descriptors no
/// other one could be opened.
struct Memory(#[cfg_attr(not(target_os = "linux"), expect(dead_code))] Option<std::fs::File>);

impl Memory {
    fn open() -> Self {
        Self(std::fs::File::open("/proc/self/status").ok())
    }

    #[cfg(target_os = "linux")]
    fn held(&self) -> Option<u64> {
        let mut text = [0; 4096];
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    #[cfg(not(target_os = "linux"))]
    fn held(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(ratio: u32) -> [u32; RESOURCES] {
        [0, 0, 0, ratio, 0]
    }

    #[test]
    fn stages_begin_at_their_thresholds() {
        for (used, stage) in [
            ([449, 899, 5000, 799, 0], Stage::Nothing),
            ([450, 0, 0, 0, 0], Stage::Connections),
            ([0, 900, 0, 0, 0], Stage::Connections),
            ([900, 0, 0, 0, 0], Stage::Sessions),
            ([5000, 5000, 5000, 0, 0], Stage::Sessions),
            (memory(800), Stage::Connections),
            (memory(900), Stage::Sessions),
            (memory(950), Stage::Calls),
            ([0, 0, 0, 0, 899], Stage::Nothing),
            ([0, 0, 0, 0, 900], Stage::Sessions),
            ([0, 0, 0, 0, 1000], Stage::Calls),
        ] {
            assert_eq!(Judge::new().judge(used, Instant::now()), stage, "{used:?}");
        }
    }

    #[test]
    fn a_stage_rises_at_once_and_falls_when_it_was_calm_for_a_while() {
        let mut judge = Judge::new();
        let start = Instant::now();
        let mut at = |ms: u64, ratio| judge.judge(memory(ratio), start + Duration::from_millis(ms));
        assert_eq!(at(0, 960), Stage::Calls);
        assert_eq!(at(250, 860), Stage::Calls, "it is hardly lower");
        assert_eq!(at(9_000, 860), Stage::Calls, "for however long");
        assert_eq!(at(9_250, 850), Stage::Calls, "it is low only now");
        assert_eq!(at(11_000, 950), Stage::Calls, "and high again");
        assert_eq!(at(11_250, 850), Stage::Calls);
        assert_eq!(at(13_250, 850), Stage::Sessions, "it was low for long");
        assert_eq!(at(13_500, 100), Stage::Sessions);
        assert_eq!(at(15_500, 100), Stage::Nothing, "two stages at once");
    }

    #[test]
    fn each_stage_refuses_what_it_gives_up_and_never_what_is_asked_to_see_if_it_is_there() {
        let pressure = Pressure::default();
        let refuses = |stage: Stage, method: &[u8]| {
            pressure.stage.store(stage as u8, Ordering::Relaxed);
            pressure.refuses(method)
        };
        let (session, call) = (
            Some(LocalReply::Shed(Shed::Session)),
            Some(LocalReply::Shed(Shed::Call)),
        );
        for (stage, initialize, tool) in [
            (Stage::Nothing, None, None),
            (Stage::Connections, None, None),
            (Stage::Sessions, session.clone(), None),
            (Stage::Calls, session, call),
        ] {
            assert_eq!(refuses(stage, b"initialize"), initialize, "{stage:?}");
            assert_eq!(refuses(stage, b"tools/call"), tool, "{stage:?}");
            assert_eq!(refuses(stage, b"ping"), None, "{stage:?}");
        }
        assert_eq!(pressure.shed().map(|(_, count)| count), [0, 2, 1]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_how_much_memory_is_held() {
        let held = Memory::open().held();
        assert!(held.is_some_and(|bytes| bytes > 1 << 20), "{held:?}");
    }
}
