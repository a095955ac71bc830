//! The pass that holds a configuration to what its servers have said of themselves.
//!
//! Owns the 7xxx codes, one file per rule, and the form of the answers; whoever calls asks the servers.
//! What no server was asked for is not judged, and a server that has not answered silences what its names
//! would tell. What fails at run time is an error here; what costs nothing is a warning.

mod client_names;
mod hidden;
mod names;
mod replicas;
mod resources;
mod silence;

use crate::diagnostic::Sink;
use crate::resolve::{Kind, Resolved, ResolvedServer, ServerId};

/// What one server, or one replica of it, has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server.
    pub server: String,
    /// Which of its replicas; 0 if it has none.
    pub instance: usize,
    /// What it has, or why that is not known.
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
    /// Whether there were more than a gateway takes.
    pub is_cut: bool,
}

/// Why it is not known what a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The list that was not given, such as `tools`; nothing if the server could not be used at all.
    pub list: Option<String>,
    /// The code that calls would get.
    pub code: String,
    /// Why, without any secret.
    pub reason: String,
}

impl Offer {
    fn of(&self, kind: Kind) -> &Listed {
        match kind {
            Kind::Tools => &self.tools,
            Kind::Prompts => &self.prompts,
        }
    }
}

/// The answers, by server and replica.
struct Answers<'a> {
    by_server: Vec<Vec<&'a Answer>>,
}

impl<'a> Answers<'a> {
    fn of(resolved: &Resolved<'_>, answers: &'a [Answer]) -> Self {
        let mut by_server = vec![Vec::new(); resolved.servers.len()];
        for answer in answers {
            let id = resolved.server_id(&answer.server);
            let place = id.and_then(|id: ServerId| by_server.get_mut(id.index()));
            if let Some(place) = place {
                place.push(answer);
            }
        }
        for of_server in &mut by_server {
            of_server.sort_by_key(|answer: &&Answer| answer.instance);
        }
        Self { by_server }
    }

    /// The servers with all that was said of them.
    fn all<'r, 'c>(
        &self,
        resolved: &'r Resolved<'c>,
    ) -> impl Iterator<Item = (&'r ResolvedServer<'c>, &[&'a Answer])> {
        let answers = self.by_server.iter().map(Vec::as_slice);
        resolved.servers.iter().zip(answers)
    }

    /// What the replicas of a server have said that have said something.
    fn offers(&self, server: ServerId) -> impl Iterator<Item = &'a Offer> + use<'_, 'a> {
        let of_server = self.by_server.get(server.index());
        offers(of_server.map_or(&[], Vec::as_slice))
    }
}

/// What those have said that have said something.
fn offers<'a, 's>(said: &'s [&'a Answer]) -> impl Iterator<Item = &'a Offer> + use<'a, 's> {
    said.iter().filter_map(|answer| answer.said.as_ref().ok())
}

/// Applies every rule.
pub(crate) fn check(resolved: &Resolved<'_>, answers: &[Answer], sink: &mut Sink) {
    let answers = Answers::of(resolved, answers);
    silence::check(resolved, &answers, sink);
    names::check(resolved, &answers, sink);
    hidden::check(resolved, &answers, sink);
    resources::check(resolved, &answers, sink);
    replicas::check(resolved, &answers, sink);
    client_names::check(resolved, &answers, sink);
}
