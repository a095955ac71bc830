//! Extensions of the protocol: which upstream of an endpoint one belongs to.
//!
//! Owns the methods that the known extensions have, and what a client's call says of extensions to an
//! upstream that cannot be reached again with their methods. An extension is carried if exactly one
//! upstream has it; what is in its messages is nobody's business here. Used by `discover` and `route`.

use std::sync::Arc;

use tokio::time::Instant;

use crate::call::{Era, Party};
use crate::discover;
use crate::json;
use crate::message::Notification;
use crate::params::Params;
use crate::policy;
use crate::snapshot::{Served, ServedMember};

/// Calls that go on in the background (SEP-2663).
pub(crate) const TASKS: &[u8] = b"io.modelcontextprotocol/tasks";
/// Instructions for models, as resources (SEP-2640).
const SKILLS: &[u8] = b"io.modelcontextprotocol/skills";
/// Resources that clients show (SEP-1865). It has no methods of its own.
pub(crate) const APPS: &[u8] = b"io.modelcontextprotocol/ui";

/// Notifications of any revision, in either direction. What they mean is for one hop, and the gateway gives
/// them what meaning they have here; to a side of another era some of them would be something else.
const NOTIFICATIONS: [&[u8]; 11] = [
    b"notifications/cancelled",
    b"notifications/progress",
    b"notifications/message",
    b"notifications/initialized",
    b"notifications/roots/list_changed",
    b"notifications/tools/list_changed",
    b"notifications/prompts/list_changed",
    b"notifications/resources/list_changed",
    b"notifications/resources/updated",
    b"notifications/elicitation/complete",
    b"notifications/subscriptions/acknowledged",
];

/// Those about tasks: clients have none of their own here, and what they say of those of servers is a request.
const OF_TASKS: &[u8] = b"notifications/tasks";

/// What methods of requests begin with. A server may carry out a request that has no id: as a notification it would
/// pass all rules about names.
const OF_REQUESTS: [&[u8]; 14] = [
    b"initialize",
    b"ping",
    b"server",
    b"tools",
    b"prompts",
    b"resources",
    b"completion",
    b"logging",
    b"subscriptions",
    b"tasks",
    b"skills",
    b"sampling",
    b"elicitation",
    b"roots",
];

/// Whether a client's notification is one that the gateway does not know. No field could mirror some methods,
/// which no request may have either.
pub(crate) fn may_pass(method: &[u8]) -> bool {
    let is_plain = method.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let of = method
        .split(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    let is_request = OF_REQUESTS
        .iter()
        .any(|it| it.eq_ignore_ascii_case(of.trim_ascii()));
    let is_known = NOTIFICATIONS.contains(&method) || method.starts_with(OF_TASKS);
    is_plain && !is_request && !is_known
}

/// Passes on a client's notification that the gateway does not know, to the upstream that a request of
/// this method would go to.
pub(crate) async fn pass(
    served: &Arc<Served>,
    told: Notification,
    client: Era,
    party: Party,
    correlation: u64,
) {
    let Some(member) = owner(served, &told.method).await else {
        tracing::debug!(
            correlation = %format_args!("{correlation:016x}"),
            "a client's notification is no server's and is dropped"
        );
        return;
    };
    let permit = policy::permit(served.access);
    let passed = member.replicas.tell(&told, client, party, permit).await;
    tracing::debug!(
        correlation = %format_args!("{correlation:016x}"),
        server = %member.name,
        failure = ?passed.err(),
        "a client's notification passed"
    );
}

/// The upstream that a method of an extension goes to.
pub(crate) async fn owner<'a>(served: &'a Arc<Served>, method: &[u8]) -> Option<&'a ServedMember> {
    if let Some(sole) = served.sole() {
        let may = of_method(method) != Some(TASKS) || has_its_own_tasks(sole).await;
        return may.then_some(sole);
    }
    let offer = Box::pin(discover::offer(served)).await;
    let index = match of_method(method) {
        Some(extension) => offer.extension_owner(|key| key == extension),
        // Nobody says which of the others a method belongs to, so there must be one that has any.
        None => offer.extension_owner(|key| ![TASKS, SKILLS, APPS].contains(&key)),
    };
    served.members.get(index?)
}

/// Whether an upstream is one of 2026-07-28. The tasks of an older one are other ones, and the session in
/// which it keeps them is shared: whoever asked for them could be told those of everybody.
async fn has_its_own_tasks(member: &ServedMember) -> bool {
    if let Some(era) = member.replicas.era() {
        return era == Era::Modern;
    }
    let until = Instant::now() + member.total();
    let profile = member.replicas.one(Party::Unknown, until).await;
    profile.is_ok_and(|(_, profile)| profile.era == Era::Modern)
}

fn of_method(method: &[u8]) -> Option<&'static [u8]> {
    if method.starts_with(b"tasks/") {
        return Some(TASKS);
    }
    let is_skills = method.starts_with(b"skills/") || method == b"resources/directory/read";
    is_skills.then_some(SKILLS)
}

/// Whether a call's capabilities may have to be narrowed: its client knows tasks, and there are several
/// upstreams that could begin one.
pub(crate) fn says_too_much(served: &Served, params: &Params) -> bool {
    let knows_tasks = |declared: &[u8]| declared.windows(TASKS.len()).any(|part| part == TASKS);
    let several = served.sole().is_none();
    several
        && params
            .meta_capabilities()
            .is_some_and(|it| knows_tasks(&it))
}

/// Leaves out of a call's capabilities that its client knows tasks, if this upstream is not the one
/// whose tasks can be asked for: it would begin one that nobody could ever fetch.
pub(crate) async fn narrow(served: &Arc<Served>, member: &ServedMember, params: &mut Params) {
    let owner = owner(served, b"tasks/get").await;
    if owner.is_some_and(|owner| std::ptr::eq(owner, member)) {
        return;
    }
    let declared = params.meta_capabilities();
    if let Some(narrowed) = declared.and_then(|declared| without_tasks(&declared)) {
        params.replace_capabilities(narrowed.into());
    }
}

/// The capabilities without the extension; nothing if they are not of the form that has one.
fn without_tasks(capabilities: &[u8]) -> Option<Vec<u8>> {
    let span = json::place_of(capabilities, b"extensions")?;
    let extensions = capabilities.get(span.clone())?;
    let kept = json::retain(extensions, |key| key != TASKS).ok()?;
    let (before, after) = (
        capabilities.get(..span.start)?,
        capabilities.get(span.end..)?,
    );
    Some([before, kept.as_slice(), after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tasks_are_left_out() {
        let left = |text: &str| without_tasks(text.as_bytes()).map(String::from_utf8);
        let both =
            r#"{"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{"a":1},"x/y":{}},"z":1}"#;
        let one = r#"{"roots":{},"extensions":{"x/y":{}},"z":1}"#;
        assert_eq!(left(both), Some(Ok(one.to_owned())));
        assert_eq!(left(one), Some(Ok(one.to_owned())));
        let only = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        assert_eq!(left(only), Some(Ok(r#"{"extensions":{}}"#.to_owned())));
        assert_eq!(left(r#"{"roots":{}}"#), None);
        assert_eq!(left(r#"{"extensions":1}"#), None);
    }

    #[test]
    fn methods_belong_to_their_extensions() {
        assert_eq!(of_method(b"tasks/get"), Some(TASKS));
        assert_eq!(of_method(b"skills/list"), Some(SKILLS));
        assert_eq!(of_method(b"resources/directory/read"), Some(SKILLS));
        assert_eq!(of_method(b"vendor/thing"), None);
    }
}
