//! What a gateway process does when what is behind it, in front of it or around it goes wrong.
//!
//! One test binary; each file is one side. `stage.rs` starts the gateway.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]
#![cfg(target_os = "linux")]

mod bounds;
mod breakers;
mod cancels;
mod certificates;
mod correlations;
mod descriptors;
mod health;
mod http;
mod legacy;
mod limits;
mod losses;
mod malformed;
mod metrics;
mod network;
mod probation;
mod replicas;
mod restarts;
mod rotation;
mod same_ids;
mod sandboxes;
mod session_servers;
mod shedding;
mod shortages;
mod sse;
mod sse_clients;
mod stage;
mod starts;
mod stdio;
mod stopping;
mod streams;
mod swaps;
mod tls;
mod tls_server;
mod unanswered;
mod vanished;
