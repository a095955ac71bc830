//! The data plane: loads plans, swaps them in with one pointer store, and moves MCP messages.
//!
//! ```text
//! accept ─► server (framing, head, body) ─► pipeline::handle
//!   origin (Host, Origin) ─► endpoint by path ─► client adapter reads the Call ─► route ─► policy (Permit)
//!     ─► upstream adapter (http, http_sse, stdio) ─► Events ─► client adapter writes the answer
//! Gateway::swap: prepare (may fail) ─► commit (one pointer store) ─► drain
//! ```
//!
//! Knows [`mcpc_plan`], never YAML or the compiler. Starts with [`Gateway::start`]; everything that
//! reaches outside (sockets, processes, variables) goes through [`Reach`].

mod admin;
mod ask;
mod batch;
mod beside;
mod body;
mod call;
mod carry;
mod changes;
mod channel;
mod client;
mod container;
mod correlation;
mod descriptors;
mod directory;
mod discover;
mod engine;
mod exposition;
mod extension;
mod failure;
mod figures;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gateway;
mod hub;
mod inbound;
mod inquiry;
mod join;
mod json;
mod keeper;
mod known;
mod legacy;
mod level;
mod list;
mod list_kind;
mod listen;
mod listener;
mod local;
mod message;
mod metrics;
mod mirror;
mod modern;
mod order;
mod origin;
mod outbox;
mod params;
mod pipeline;
mod policy;
mod prepare;
mod pressure;
mod profile;
mod pulse;
mod reach;
mod refusal;
mod refusals;
#[cfg(feature = "rehearsal")]
mod rehearsal;
mod repeats;
mod replay;
mod reply;
mod resolved_plan;
mod respond;
mod route;
mod secret;
mod serve;
mod server;
mod session;
mod shortage;
mod shown;
mod silence;
mod snapshot;
mod sse;
mod status;
mod stdio;
mod subscriptions;
mod survey;
mod swap_news;
mod tally;
mod tasks;
mod timestamp;
mod tool_set;
mod trail;
mod upstream;
mod workers;

pub use descriptors::raise_descriptor_limit;
pub use exposition::{Family, Kind};
pub use figures::{Condition, Figures, ServerFigures};
pub use gateway::{Door, Gateway, Options};
pub use inquiry::{About, Heard, Inquiry, Listed, Offer, Silence};
pub use metrics::FAMILIES;
pub use order::{Order, Outcome, Verdict, Wish};
pub use reach::{
    Dialed, Ended, Launch, Process, Reach, ReachFuture, Real, Signals, Target, child_entry,
    dies_with,
};
pub use refusal::{Refusal, Swapped};
#[cfg(feature = "rehearsal")]
pub use rehearsal::{Entrance, Rehearsal};
pub use resolved_plan::ResolvedPlan;
pub use secret::Secret;
pub use session::SessionKeys;
pub use shortage::{LOG, SESSION_KEY, Shortage, is_of_descriptors};
pub use status::{
    BreakerState, BreakerStatus, CheckedStatus, Components, DrainingReason, DrainingStatus,
    EndKind, EndpointStatus, Health, HealthStatus, Kept, ListenerHealth, Live, Phase, PlanHealth,
    PressureStatus, ProcessEnd, Readiness, Refused, ReplicaStatus, RetriesStatus,
    SessionServersStatus, Stage, Status, Taken, Trouble, UpstreamHealth, UpstreamState,
    UpstreamStatus,
};
pub use stdio::Stdio;
pub use tally::Calls;
pub use timestamp::Timestamp;
pub use upstream::page::{Ask, Page, ask};
