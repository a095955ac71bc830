//! Serves one request that was read: what the gateway answers itself, and what goes to an upstream.
//!
//! Owns the table of methods. Comes from `pipeline`; routed calls go `route` → `policy` →
//! `upstream` → `respond`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::ask::bridge::{Bridge, askable};
use crate::ask::retry::{self, Resumed};
use crate::ask::{Way, can_ask, may_ask};
use crate::call::{Call, Era, Party};
use crate::carry::strip_tools;
use crate::client::{Asked, Client};
use crate::discover;
use crate::failure::Failure;
use crate::inbound::{Accepts, Form, SESSION_HEADER};
use crate::json;
use crate::legacy;
use crate::list;
use crate::list_kind::Kind;
use crate::listen;
use crate::local::{self, Cache, in_form, unanswered};
use crate::mirror;
use crate::params::Params;
use crate::pipeline::Plane;
use crate::policy;
use crate::pulse;
use crate::replay::{self, Audience};
use crate::reply::{Ill, LocalReply};
use crate::respond::{Writer, cancelled, stream_response};
use crate::route;
use crate::server::Response;
use crate::session::{Asks, NotBegun, Session};
use crate::snapshot::{Served, ServedMember};
use crate::subscriptions;
use crate::tasks::{self, Manner};
use crate::upstream::Sent;

/// Answers a request of either era. Everything but a routed call is boxed: a future is as large as
/// its largest branch and is moved into each caller's, so the common path must not carry the others.
pub(crate) async fn answer(
    asked: Asked<'_>,
    session: Option<Session>,
    plane: &Arc<Plane>,
) -> Result<Response, LocalReply> {
    if let Some(refusal) = plane.pressure.refuses(&asked.method) {
        return Err(refusal);
    }
    let kind = Kind::of_method(&asked.method);
    if kind.is_some() || is_answered_here(asked.client.era, &asked.method) {
        log_answering(asked.served, &asked.method, asked.correlation);
    }
    let takes = asked.client.accepts;
    if let Some(kind) = kind {
        let response = Box::pin(answer_list(&asked, kind)).await?;
        return Ok(in_form(response, takes));
    }
    let response = match (asked.client.era, asked.method.as_ref()) {
        (Era::Modern, b"server/discover") => {
            let offer = Box::pin(discover::offer(asked.served)).await;
            Ok(local::result(
                Era::Modern,
                &asked.id,
                &offer.discover(),
                Some(offer.cache()),
            ))
        }
        (Era::Modern, b"subscriptions/listen") => Box::pin(listen::modern(&asked, plane)).await,
        (Era::Legacy, b"initialize") => Box::pin(answer_initialize(&asked, plane)).await,
        (Era::Legacy, b"ping") => Ok(local::result(Era::Legacy, &asked.id, b"", None)),
        (Era::Legacy, b"logging/setLevel") => {
            Box::pin(legacy::set_level(&asked, session.as_ref())).await
        }
        (Era::Legacy, b"resources/subscribe") => {
            Box::pin(subscriptions::subscribe(&asked, session.as_ref())).await
        }
        (Era::Legacy, b"resources/unsubscribe") => {
            subscriptions::unsubscribe(&asked, session.as_ref())
        }
        // Calls, and methods that this build does not know.
        _ => return answer_routed(asked, session, plane).await,
    }?;
    Ok(in_form(response, takes))
}

/// Whether the gateway answers a method that is no list for the endpoint as a whole.
fn is_answered_here(era: Era, method: &[u8]) -> bool {
    match era {
        Era::Modern => matches!(method, b"server/discover" | b"subscriptions/listen"),
        Era::Legacy => matches!(
            method,
            b"initialize"
                | b"ping"
                | b"logging/setLevel"
                | b"resources/subscribe"
                | b"resources/unsubscribe"
        ),
    }
}

async fn answer_list(asked: &Asked<'_>, kind: Kind) -> Result<Response, LocalReply> {
    // Pages of upstreams are drained, so every list is one page and no cursor was ever given out.
    if asked.params.has_cursor() {
        return Err(LocalReply::BadCursor);
    }
    let merged = list::merge(
        asked.served,
        kind,
        asked.client.party,
        Some(asked.correlation),
    )
    .await?;
    let mut members = Vec::with_capacity(merged.entries.len() + 64);
    members.extend_from_slice(format!("\"{}\":[", kind.entries()).as_bytes());
    let crosses = || {
        let mut members = asked.served.members.iter();
        members.any(|member| member.replicas.era() == Some(Era::Modern))
    };
    let stripped = (kind == Kind::Tools && asked.client.era == Era::Legacy && crosses())
        .then(|| strip_tools(&merged.entries))
        .flatten();
    members.extend_from_slice(stripped.as_ref().unwrap_or(&merged.entries));
    members.push(b']');
    let mut own_meta = Vec::new();
    if !merged.missing.is_empty() {
        own_meta.extend_from_slice(b",\"dev.mcpc/unavailable\":");
        json::write_texts(&mut own_meta, &merged.missing);
    }
    let beside = merged.beside.unwrap_or_default();
    beside.write(&mut members, &own_meta);
    let cache = Cache {
        ttl_ms: merged.ttl_ms,
        is_public: merged.is_public,
    };
    Ok(local::result(
        asked.client.era,
        &asked.id,
        &members,
        Some(cache),
    ))
}

async fn answer_initialize(asked: &Asked<'_>, plane: &Plane) -> Result<Response, LocalReply> {
    if !asked.params.are_of_initialize() {
        return Err(LocalReply::Ill(Ill::Greeting));
    }
    let grant = legacy::grant(&asked.params);
    let offer = discover::offer(asked.served).await;
    let begun = plane
        .sessions
        .begin(grant, &asked.served.endpoint.path, Instant::now());
    let (token, _) =
        begun.map_err(|(NotBegun::Full | NotBegun::NoRandomness)| LocalReply::SessionsFull)?;
    let initialize = offer.initialize(grant.revision.as_str());
    let response = local::result(Era::Legacy, &asked.id, &initialize, None);
    Ok(response.with(SESSION_HEADER, token))
}

/// Sends a call to the upstream that owns its name, and its answer back.
async fn answer_routed(
    asked: Asked<'_>,
    session: Option<Session>,
    plane: &Arc<Plane>,
) -> Result<Response, LocalReply> {
    let Asked {
        served,
        id,
        method,
        mut params,
        beside,
        mut client,
        correlation,
    } = asked;
    params = without_tasks(served, client.era, &method, params)?;
    let tool = tool_of(&method, &params);
    let exposed = params.name().or_else(|| params.uri());
    let (takes, era) = (client.accepts, client.era);
    let found = route::find(served, &method, &mut params).await;
    let route = found.inspect_err(|refused| disown(refused, era, &params, plane))?;
    let member = route.member;
    let deadline = Instant::now() + member.total();
    settle_headers(
        served,
        member,
        tool.as_deref(),
        deadline,
        &params,
        &mut client,
    )
    .await?;
    let manner = manner(served, tool.as_deref());
    let is_repeatable = is_repeatable(served, tool.as_deref(), &params);
    // A client that writes these headers itself hears itself that they were refused.
    let tool = tool.filter(|_| !client.mirrors);
    member.trail.routed(&method, correlation);
    let bridge = Bridge::new(plane, served, member, exposed, &params);
    let mut call = Box::new(Call {
        method,
        name: route.name,
        params,
        beside,
        era,
        asks: askable(&client, session.as_ref()),
        party: client.party,
        log_level: client.set_level,
        mirrored: std::mem::take(&mut client.mirrored),
        is_repeatable,
        is_sent_once: false,
        replica: None,
        trace: std::mem::take(&mut client.trace),
        leave: replay::leave_of(client.leave(), session.as_ref(), takes),
        deadline,
        timeouts: member.timeouts.clone(),
    });
    let token = call.params.progress_token();
    let mut writer = Writer::new(id, &call.method, client, token, correlation, &member.trail);
    writer.name.clone_from(&call.name);
    if brings_state(&call) {
        match Box::pin(bridge.reopen(&call.method, &mut call.params)).await? {
            Resumed::Again(holder) => call.replica = holder,
            Resumed::Parked(parked, answers) => {
                writer.upstream = Era::Legacy;
                writer.way = bridge.by_retry(&call.method);
                return Box::pin(writer.resume(parked, &answers)).await;
            }
        }
    }
    call_upstream(&bridge, session, takes, writer, call, tool, manner).await
}

/// Whether a modern client repeats a call with what it was asked for, and the state that it was given.
fn brings_state(call: &Call) -> bool {
    call.era == Era::Modern && can_ask(&call.method) && call.params.has_request_state()
}

/// What a legacy client says of tasks. It was offered none: those that it could ask for are in sessions that all
/// clients share, and a call is one like others whatever it wishes (2025-11-25 Tasks §Capability Negotiation).
fn without_tasks(
    served: &Served,
    client: Era,
    method: &[u8],
    params: Params,
) -> Result<Params, LocalReply> {
    if client == Era::Modern {
        return Ok(params);
    }
    if method.starts_with(b"tasks/") {
        return Err(LocalReply::UnknownMethod);
    }
    let params = params.without_task(served.limits.nesting);
    params.map_err(|_| LocalReply::BadParams)
}

/// The tool that is called, as clients name it.
fn tool_of(method: &[u8], params: &Params) -> Option<Bytes> {
    (method == b"tools/call").then(|| params.name()).flatten()
}

fn manner(served: &Served, tool: Option<&[u8]>) -> Manner {
    match tool {
        Some(tool) if served.task_tools.has(tool) => Manner::Task,
        Some(_) | None => Manner::Call,
    }
}

/// A name that there is not is no request that a state was given out for. Whether a resource is there is for its
/// server to say, which may not be heard at the moment.
fn disown(refused: &LocalReply, era: Era, params: &Params, plane: &Plane) {
    if era == Era::Modern
        && matches!(refused, LocalReply::UnknownTool | LocalReply::UnknownPrompt)
        && let Some(state) = params.request_state()
    {
        retry::misused(plane, &state, legacy::ANONYMOUS);
    }
}

/// Settles which headers go with the call of a tool, once it is known which arguments are headers.
async fn settle_headers(
    served: &Served,
    member: &ServedMember,
    tool: Option<&[u8]>,
    deadline: Instant,
    params: &Params,
    client: &mut Client,
) -> Result<(), LocalReply> {
    let Some(tool) = tool else {
        return Ok(());
    };
    let demands = || member.tools_known.is_to_be_looked_for() && !member.replicas.run_no_tasks();
    if client.mirrors || member.replicas.retries() || demands() {
        list::know_tools(served, member, deadline).await;
    }
    served.mirrors.settle(Some(tool), params, client)
}

/// Whether its server says that a call does the same however often it is sent. The state of a question that
/// was answered may be good for one time only.
fn is_repeatable(served: &Served, tool: Option<&[u8]>, params: &Params) -> bool {
    tool.is_some_and(|tool| served.repeats.has(tool)) && !params.has_request_state()
}

/// Sends a call and writes what comes back. If nothing does for long, the response begins without it.
async fn call_upstream(
    bridge: &Bridge<'_>,
    session: Option<Session>,
    takes: Accepts,
    mut writer: Writer,
    call: Box<Call>,
    tool: Option<Bytes>,
    manner: Manner,
) -> Result<Response, LocalReply> {
    let member = bridge.member;
    // Only a legacy client that can be asked, at a server that may ask by its result.
    let may_repeat = call.asks != Asks::default() && can_ask(&call.method);
    let again = (may_repeat && member.replicas.era() != Some(Era::Legacy))
        .then(|| (call.clone(), tool.clone()));
    let (plane, served) = (Arc::clone(bridge.plane), Arc::clone(bridge.served));
    let id = member.id;
    let mut sending = Box::pin(async move {
        // Always there: it is one of this endpoint's.
        let member = served.member(id).ok_or(Failure::Stopped)?;
        let sent = send(&served, member, call, tool, manner).await;
        match &sent {
            Ok(_) => plane.tally.answered(),
            Err(failure) => plane.tally.failed(*failure, member.replicas.origin()),
        }
        sent
    });
    let after = Settling {
        session,
        takes,
        again,
    };
    let sent = tokio::select! {
        biased;
        // The client does not expect an answer to what it has cancelled.
        () = cancelled(writer.flight.as_ref()) => return Ok(unanswered(takes)),
        sent = &mut sending => sent,
        () = pulse::quiet(), if takes.stream => {
            return Ok(begin_late(bridge, writer, sending, after));
        }
    };
    match sent {
        Ok(sent) => {
            after.settle(bridge, &mut writer, &sent);
            writer.answer(sent.answer).await
        }
        Err(failure) => writer.refuse(failure),
    }
}

/// What is looked at once there is an answer.
struct Settling {
    session: Option<Session>,
    takes: Accepts,
    /// The call as it was sent, if it may have to be sent again.
    again: Option<(Box<Call>, Option<Bytes>)>,
}

impl Settling {
    /// Makes a writer ready for an answer.
    fn settle(self, bridge: &Bridge<'_>, writer: &mut Writer, sent: &Sent) {
        let replicas = &bridge.member.replicas;
        writer.upstream = sent.era;
        let may_ask = may_ask(&sent.answer, &writer.method, writer.upstream);
        if !may_ask && self.takes.form() == Form::Document {
            return;
        }
        let (session, takes) = (self.session, self.takes);
        writer.audience = Audience::of(session.as_ref(), takes, &bridge.plane.replays);
        if !may_ask {
            return;
        }
        writer.way = bridge.way(writer.client, session, takes.stream, &writer.method);
        if let Way::Retry(retry) = &mut writer.way {
            retry.replica = replicas.mark(sent.replica);
        }
        let again = self.again.filter(|_| writer.upstream == Era::Modern);
        let again = again.map(|(mut call, tool)| {
            call.replica = Some(sent.replica);
            (call, tool)
        });
        writer.rounds = bridge.rounds(&writer.way, again);
    }
}

/// Begins the response to a call that is still under way, as a stream: what is quiet for too long
/// may be cut off by whatever is between here and the client. A failure cannot have a status then.
fn begin_late(
    bridge: &Bridge<'_>,
    mut writer: Writer,
    sending: Pin<Box<impl Future<Output = Result<Sent, Failure>> + Send + 'static>>,
    after: Settling,
) -> Response {
    let audience = Audience::of(after.session.as_ref(), after.takes, &bridge.plane.replays);
    let (plane, served) = (Arc::clone(bridge.plane), Arc::clone(bridge.served));
    // The request ends here, and the call may still be on its way to the server, or come back for another round.
    let in_use = served.in_use();
    let id = bridge.member.id;
    let (exposed, arguments) = (bridge.exposed.clone(), bridge.arguments.clone());
    let capabilities = bridge.capabilities.clone();
    stream_response(audience, |frames| async move {
        let sent = tokio::select! {
            biased;
            () = cancelled(writer.flight.as_ref()) => return,
            sent = sending => sent,
            () = pulse::stopped() => return frames.send(writer.cut_off()).await,
        };
        let Some(member) = served.member(id) else {
            return;
        };
        match sent {
            Ok(sent) => {
                let bridge = Bridge {
                    plane: &plane,
                    served: &served,
                    member,
                    exposed,
                    arguments,
                    capabilities,
                };
                after.settle(&bridge, &mut writer, &sent);
                drop(in_use);
                writer.stream(sent.answer, frames).await;
            }
            Err(failure) => writer.fail(failure, frames).await,
        }
    })
}

/// Sends a call. A modern server refuses one that lacks a header, and some clients cannot know of
/// it; so the list is asked for and the call sent again, once. Nothing has been done for it until then.
/// The same holds for one that demands a client that knows tasks.
pub(crate) async fn send(
    served: &Arc<Served>,
    member: &ServedMember,
    call: Box<Call>,
    tool: Option<Bytes>,
    manner: Manner,
) -> Result<Sent, Failure> {
    if manner == Manner::Task {
        return Box::pin(tasks::legacy::send(served, member, call)).await;
    }
    let crosses = member.replicas.era() == Some(Era::Modern);
    let again = tool.filter(|_| crosses).map(|tool| (tool, call.clone()));
    let permit = policy::permit(served.access);
    let mut sent = member.replicas.send(call, permit).await?;
    let Some((tool, mut call)) = again else {
        return Ok(sent);
    };
    if mirror::is_mismatch(&sent.answer) {
        list::merge(served, Kind::Tools, Party::Unknown, None).await?;
        let mirrored = served.mirrors.derived(&tool, &call.params);
        if mirrored == call.mirrored {
            return Ok(sent);
        }
        call.mirrored = mirrored;
        sent = member.replicas.send(call.clone(), permit).await?;
    }
    if tasks::modern::is_demanded(&call, &sent.answer) {
        return Box::pin(tasks::modern::send(served, member, call, sent.replica)).await;
    }
    Ok(sent)
}

/// A request that the gateway answers itself, for the endpoint as a whole.
pub(crate) fn log_answering(served: &Served, method: &[u8], correlation: u64) {
    tracing::debug!(
        correlation = %format_args!("{correlation:016x}"),
        plan = served.digest.short(),
        endpoint = %served.endpoint.path,
        place = %served.place,
        method = %String::from_utf8_lossy(method),
        "request answered here"
    );
}

/// An empty result, for requests that only change something.
pub(crate) fn done(asked: &Asked<'_>) -> Response {
    local::result(asked.client.era, &asked.id, b"", None)
}
