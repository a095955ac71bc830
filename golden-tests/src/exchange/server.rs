//! A fake MCP server: answers handshakes and lists by itself, and leaves every other request to the
//! transcript. The same for HTTP and for a process; `http` and the pipes below carry it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use mcpc_dataplane::Ended;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, SimplexStream, WriteHalf,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::Era;
use super::text::{beside, shown};

mod inquiries;
mod offers;

use inquiries::state_of;

/// What happened, in order.
pub(crate) type Log = Rc<RefCell<Vec<String>>>;

/// One fake server.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) era: Era,
    is_raw: bool,
    log: Log,
    offers: RefCell<BTreeMap<String, Value>>,
    pending: RefCell<VecDeque<Pending>>,
    /// The arguments of every call that has come, in order.
    called: RefCell<Vec<Value>>,
    /// The rest of a call whose stream was let go of.
    pub(crate) rest: RefCell<Option<mpsc::UnboundedReceiver<Frame>>>,
    watchers: RefCell<Vec<Watcher>>,
    /// Processes that run: the one that serves, and now and then one that was started to probe.
    processes: RefCell<BTreeMap<usize, Process>>,
    started: Cell<usize>,
    /// How many requests it has taken to answer later.
    taken: Cell<usize>,
    /// How often it has asked the client.
    asked: Cell<usize>,
    /// What it has inquired of clients and not heard yet: the arguments of the calls that it is about.
    inquiries: RefCell<BTreeMap<String, Value>>,
    /// How often it has heard what it inquired, and what it heard wrongly.
    pub(crate) heard: Cell<usize>,
    pub(crate) misheard: RefCell<Vec<String>>,
    is_stalled: Cell<bool>,
    /// What it was asked while it was stalled, which is never answered.
    unanswered: RefCell<BTreeMap<String, mpsc::UnboundedSender<Frame>>>,
    /// What it was asked to tell updates of, in the way of a legacy server.
    subscribed: RefCell<BTreeSet<String>>,
}

/// A process that runs: whom to tell of its end, and what ends it.
struct Process {
    ended: oneshot::Sender<Ended>,
    killed: Arc<Notify>,
}

/// A request that the transcript has yet to answer.
struct Pending {
    id: Value,
    /// Tells it from one with the same id: who connects anew counts anew.
    number: usize,
    arguments: Value,
    token: Option<Value>,
    frames: mpsc::UnboundedSender<Frame>,
}

/// A stream on which list changes are told.
struct Watcher {
    subscription: Option<Value>,
    /// The resources that it is for.
    resources: Value,
    frames: mpsc::UnboundedSender<Frame>,
}

/// A piece of an answer.
pub(crate) enum Frame {
    /// A notification before the reply.
    Notice(Value),
    /// The reply.
    Last(Value),
    /// Text in place of the reply.
    Raw(String),
    /// The stream ends for now.
    HangUp,
    /// The connection ends without a reply.
    Cut,
}

/// What the server does with a message.
pub(crate) enum Taken {
    /// Answers at once.
    Now(Value),
    /// Answers when the transcript says so.
    Later(mpsc::UnboundedReceiver<Frame>, usize),
    /// Keeps a stream open, after these messages.
    Watch(Vec<Value>, mpsc::UnboundedReceiver<Frame>),
    /// Has nothing to answer.
    Nothing,
}

impl Server {
    pub(crate) fn new(name: &str, era: Era, is_raw: bool, log: &Log) -> Rc<Self> {
        Rc::new(Self {
            name: name.to_owned(),
            era,
            is_raw,
            log: Rc::clone(log),
            offers: RefCell::default(),
            pending: RefCell::default(),
            called: RefCell::default(),
            rest: RefCell::default(),
            watchers: RefCell::default(),
            processes: RefCell::default(),
            started: Cell::new(0),
            taken: Cell::new(0),
            asked: Cell::new(0),
            inquiries: RefCell::default(),
            heard: Cell::new(0),
            misheard: RefCell::default(),
            is_stalled: Cell::new(false),
            unanswered: RefCell::default(),
            subscribed: RefCell::default(),
        })
    }

    pub(crate) fn note(&self, text: &str) {
        self.log.borrow_mut().push(format!("{} {text}", self.name));
    }

    /// What lists contain from now on.
    pub(crate) fn offer(&self, kind: &str, entries: Value) {
        self.offers.borrow_mut().insert(kind.to_owned(), entries);
    }

    /// Takes a message from the gateway.
    pub(crate) fn take(&self, message: &Value) -> Taken {
        let method = message["method"].as_str().unwrap_or_default();
        let id = message["id"].clone();
        if message["method"].is_null() {
            self.take_response(&id, message);
            return Taken::Nothing;
        }
        if id.is_null() {
            self.take_notification(method, message);
            return Taken::Nothing;
        }
        let foreign_handshake = match self.era {
            Era::Modern => method == "initialize",
            Era::Legacy => method == "server/discover",
        };
        if foreign_handshake {
            return Taken::Now(error(&id, -32601, "no such method"));
        }
        if self.name.starts_with("mute") {
            return self.later(id, &Value::Null, None);
        }
        if self.is_stalled.get() {
            let (frames, never) = mpsc::unbounded_channel();
            self.unanswered.borrow_mut().insert(id.to_string(), frames);
            return Taken::Later(never, 0);
        }
        if let Some(result) = self.by_itself(method) {
            return Taken::Now(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        }
        if self.offers.borrow().contains_key("subscriptions") && is_subscribing(method) {
            return Taken::Now(self.subscribe(&id, method, &message["params"]["uri"]));
        }
        if method == "subscriptions/listen" {
            return self.watch(Some(id), &message["params"]["notifications"]);
        }
        let mut params = message["params"].clone();
        let token = params.pointer_mut("/_meta/progressToken").map(Value::take);
        if let (Some(_), Some(place)) = (&token, params.pointer_mut("/_meta/progressToken")) {
            *place = json!("own");
        }
        let params_shown = shown(&params, self.is_raw);
        self.note(&format!("sees {method} {params_shown}{}", beside(message)));
        let arguments = &params["arguments"];
        if params["requestState"] == state_of(arguments) {
            self.hear(arguments, &params["inputResponses"]["q"]);
        } else {
            self.called.borrow_mut().push(arguments.clone());
        }
        self.later(id, arguments, token)
    }

    fn later(&self, id: Value, arguments: &Value, token: Option<Value>) -> Taken {
        let (frames, coming) = mpsc::unbounded_channel();
        let number = self.taken.replace(self.taken.get() + 1) + 1;
        self.pending.borrow_mut().push_back(Pending {
            id,
            number,
            arguments: arguments.clone(),
            token,
            frames,
        });
        Taken::Later(coming, number)
    }

    fn take_response(&self, id: &Value, message: &Value) {
        let (kind, value) = if message["error"].is_null() {
            ("result", &message["result"])
        } else {
            ("error", &message["error"])
        };
        let id = id.as_str().unwrap_or_default();
        if let (Some(arguments), "result") = (self.inquiries.borrow_mut().remove(id), kind) {
            self.hear(&arguments, value);
        }
        self.note(&format!("sees {id} {kind} {}", shown(value, self.is_raw)));
    }

    fn take_notification(&self, method: &str, message: &Value) {
        let params = &message["params"];
        if method == "notifications/cancelled" {
            // A stream of a process has no connection that could be closed.
            let ended = Some(&params["requestId"]);
            let mut watchers = self.watchers.borrow_mut();
            watchers.retain(|watcher| watcher.subscription.as_ref() != ended);
        }
        match method {
            "notifications/initialized" => {}
            // When it gives up is the gateway's own affair.
            "notifications/cancelled" if self.was_stalled(&params["requestId"]) => {}
            "notifications/cancelled" if self.forget(|call| call.id == params["requestId"]) => {
                self.note("sees its call cancelled");
            }
            other => {
                let params = shown(params, self.is_raw);
                self.note(&format!("sees {other} {params}{}", beside(message)));
            }
        }
    }

    /// A call that nobody waits for any more; says whether it was one.
    pub(crate) fn forget_number(&self, number: usize) -> bool {
        self.forget(|call| call.number == number)
    }

    fn forget(&self, is_it: impl Fn(&Pending) -> bool) -> bool {
        let mut pending = self.pending.borrow_mut();
        let before = pending.len();
        pending.retain(|call| !is_it(call));
        pending.len() < before
    }

    /// `resources/subscribe` and its opposite, for the resources that are offered for it.
    fn subscribe(&self, id: &Value, method: &str, uri: &Value) -> Value {
        self.note(&format!("sees {method} {uri}"));
        if !self.is_subscribable(uri) {
            return error(id, -32002, "no such resource");
        }
        let uri = uri.as_str().unwrap_or_default();
        let mut subscribed = self.subscribed.borrow_mut();
        if method == "resources/subscribe" {
            subscribed.insert(uri.to_owned());
        } else {
            subscribed.remove(uri);
        }
        json!({ "jsonrpc": "2.0", "id": id, "result": {} })
    }

    fn is_subscribable(&self, uri: &Value) -> bool {
        let offers = self.offers.borrow();
        let offered = offers.get("subscriptions").and_then(Value::as_array);
        offered.is_some_and(|offered| offered.contains(uri))
    }

    /// Tells those who have asked for it that a resource was updated.
    pub(crate) fn update(&self, uri: &str) {
        let is_subscribed = self.subscribed.borrow().contains(uri);
        for watcher in self.watchers.borrow().iter() {
            let mut params = json!({ "uri": uri });
            if let Some(id) = &watcher.subscription {
                params["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": id });
            }
            let wished = watcher.resources.as_array();
            if is_subscribed || wished.is_some_and(|wished| wished.contains(&json!(uri))) {
                let notice = notice("notifications/resources/updated", &params);
                let _closed = watcher.frames.send(Frame::Notice(notice));
            }
        }
    }

    /// Opens a stream for list changes and updates.
    pub(crate) fn watch(&self, subscription: Option<Value>, filter: &Value) -> Taken {
        let (frames, coming) = mpsc::unbounded_channel();
        let mut filter = filter.clone();
        let mut resources = filter["resourceSubscriptions"].clone();
        if let Some(wished) = resources.as_array_mut() {
            self.note(&format!("sees subscriptions/listen {}", json!(wished)));
            wished.retain(|uri| self.is_subscribable(uri));
            filter["resourceSubscriptions"] = resources.clone();
        }
        let first = subscription.iter().map(|id| {
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
            notice(
                "notifications/subscriptions/acknowledged",
                &json!({ "_meta": meta, "notifications": filter }),
            )
        });
        let first = first.collect();
        self.watchers.borrow_mut().push(Watcher {
            subscription,
            resources,
            frames,
        });
        Taken::Watch(first, coming)
    }

    /// Tells every open stream that a list has changed.
    pub(crate) fn change(&self, kind: &str) {
        for watcher in self.watchers.borrow().iter() {
            let params = match &watcher.subscription {
                Some(id) => json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": id } }),
                None => json!({}),
            };
            // A stream that the gateway has closed is told nothing.
            let _closed = watcher.frames.send(Frame::Notice(notice(
                &format!("notifications/{kind}/list_changed"),
                &params,
            )));
        }
    }

    /// Answers the oldest pending call; says whether there was one.
    pub(crate) fn answer(&self, result: &Value) -> bool {
        let mut result = result.clone();
        if let (Era::Modern, Some(object)) = (self.era, result.as_object_mut()) {
            object
                .entry("resultType")
                .or_insert_with(|| json!("complete"));
        }
        self.finish(|id| Frame::Last(json!({ "jsonrpc": "2.0", "id": id, "result": result })))
    }

    /// Puts its latest call before all others.
    pub(crate) fn prefer_latest(&self) {
        let mut pending = self.pending.borrow_mut();
        if let Some(latest) = pending.pop_back() {
            pending.push_front(latest);
        }
    }

    /// Answers one of the pending calls with its own arguments; says whether there was one.
    pub(crate) fn echo(&self, chosen: usize) -> bool {
        let mut pending = self.pending.borrow_mut();
        let Some(call) = chosen
            .checked_rem(pending.len())
            .and_then(|at| pending.remove(at))
        else {
            return false;
        };
        let text = call.arguments.to_string();
        let mut result = json!({ "content": [{ "type": "text", "text": text }] });
        if self.era == Era::Modern {
            result["resultType"] = json!("complete");
        }
        let reply = json!({ "jsonrpc": "2.0", "id": call.id, "result": result });
        // Whoever has left does not hear it.
        let _left = call.frames.send(Frame::Last(reply));
        true
    }

    /// How many calls wait for their answers.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.borrow().len()
    }

    /// How many processes of it run.
    pub(crate) fn running(&self) -> usize {
        self.processes.borrow().len()
    }

    /// How often a call with these arguments has come.
    pub(crate) fn times_called(&self, arguments: &Value) -> usize {
        let called = self.called.borrow();
        called.iter().filter(|it| *it == arguments).count()
    }

    /// Fails the oldest pending call.
    pub(crate) fn fail(&self, error: &Value) -> bool {
        self.finish(|id| Frame::Last(json!({ "jsonrpc": "2.0", "id": id, "error": error })))
    }

    /// Writes a text in place of the oldest call's answer; `ID` in it stands for the call's id.
    pub(crate) fn write(&self, text: &str) -> bool {
        self.finish(|id| Frame::Raw(text.replace("ID", &id.to_string())))
    }

    /// Takes requests without answering them, or answers those that come from now on.
    pub(crate) fn stall(&self, is_stalled: bool) {
        self.is_stalled.set(is_stalled);
    }

    fn was_stalled(&self, id: &Value) -> bool {
        let mut unanswered = self.unanswered.borrow_mut();
        unanswered.remove(&id.to_string()).is_some()
    }

    /// Lets go of the connection of the oldest call; it is answered to whoever asks again.
    pub(crate) fn hang_up(&self) -> bool {
        let pending = self.pending.borrow();
        let call = pending.front();
        call.is_some_and(|call| call.frames.send(Frame::HangUp).is_ok())
    }

    /// Ends every connection and the process.
    pub(crate) fn close(&self) {
        for call in self.pending.borrow_mut().drain(..) {
            let _left = call.frames.send(Frame::Cut);
        }
        self.watchers.borrow_mut().clear();
        for (_, process) in std::mem::take(&mut *self.processes.borrow_mut()) {
            // What a process knows ends with it; a session over HTTP outlives its connections.
            self.subscribed.borrow_mut().clear();
            process.killed.notify_one();
            let _left = process.ended.send(Ended::Code(1));
        }
    }

    /// Notifies within the oldest pending call.
    pub(crate) fn tell(&self, method: &str, params: &Value) -> bool {
        let pending = self.pending.borrow();
        let Some(call) = pending.front() else {
            return false;
        };
        let mut params = params.clone();
        if let (Some(token), Some(object)) = (&call.token, params.as_object_mut())
            && method == "notifications/progress"
        {
            object.insert("progressToken".to_owned(), token.clone());
        }
        call.frames
            .send(Frame::Notice(notice(method, &params)))
            .is_ok()
    }

    /// Asks the client within the oldest pending call.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> bool {
        let pending = self.pending.borrow();
        let Some(call) = pending.front() else {
            return false;
        };
        let question = self.question(method, params);
        call.frames.send(Frame::Notice(question)).is_ok()
    }

    /// Asks the client on every stream of the server's own.
    pub(crate) fn wonder(&self, method: &str, params: &Value) {
        let question = self.question(method, params);
        for watcher in self.watchers.borrow().iter() {
            // A stream that the gateway has closed is told nothing.
            let _closed = watcher.frames.send(Frame::Notice(question.clone()));
        }
    }

    fn question(&self, method: &str, params: &Value) -> Value {
        let number = self.asked.replace(self.asked.get() + 1) + 1;
        json!({ "jsonrpc": "2.0", "id": format!("question-{number}"), "method": method, "params": params })
    }

    fn finish(&self, frame: impl Fn(&Value) -> Frame) -> bool {
        let call = self.pending.borrow_mut().pop_front();
        call.is_some_and(|call| call.frames.send(frame(&call.id)).is_ok())
    }

    /// Serves a process's pipes until its input ends or it is ended by force.
    pub(crate) async fn serve_pipes(
        self: Rc<Self>,
        input: DuplexStream,
        output: WriteHalf<SimplexStream>,
        ended: oneshot::Sender<Ended>,
        killed: Arc<Notify>,
    ) {
        let number = self.started.replace(self.started.get() + 1);
        let process = Process {
            ended,
            killed: Arc::clone(&killed),
        };
        self.processes.borrow_mut().insert(number, process);
        let (lines, mut writing) = mpsc::unbounded_channel::<String>();
        tokio::task::spawn_local(async move {
            let mut output = output;
            while let Some(line) = writing.recv().await {
                if output
                    .write_all(format!("{line}\n").as_bytes())
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        // What a process has to say ends with it.
        let mut answering = JoinSet::new();
        if self.era == Era::Legacy {
            // A legacy process tells changes on its output, unasked.
            let (server, lines) = (Rc::clone(&self), lines.clone());
            let changes = self.watch(None, &Value::Null);
            answering.spawn_local(async move { server.answer_on_pipe(changes, &lines).await });
        }
        let mut input = BufReader::new(input).lines();
        loop {
            let line = tokio::select! {
                line = input.next_line() => line,
                () = killed.notified() => break,
            };
            let Ok(Some(line)) = line else {
                break;
            };
            let Ok(message) = serde_json::from_str(&line) else {
                continue;
            };
            let (server, lines) = (Rc::clone(&self), lines.clone());
            let taken = server.take(&message);
            answering.spawn_local(async move { server.answer_on_pipe(taken, &lines).await });
        }
        // The gateway has stopped this process.
        if let Some(process) = self.processes.borrow_mut().remove(&number) {
            let _left = process.ended.send(Ended::Code(0));
        }
    }

    async fn answer_on_pipe(&self, taken: Taken, lines: &mpsc::UnboundedSender<String>) {
        let (first, mut frames) = match taken {
            Taken::Now(reply) => return drop(lines.send(reply.to_string())),
            Taken::Nothing => return,
            Taken::Later(frames, _) => (Vec::new(), frames),
            Taken::Watch(first, frames) => (first, frames),
        };
        for message in first {
            let _ended = lines.send(message.to_string());
        }
        while let Some(frame) = frames.recv().await {
            let line = match frame {
                Frame::Notice(message) | Frame::Last(message) => message.to_string(),
                Frame::Raw(text) => text,
                // Pipes stay open.
                Frame::HangUp => continue,
                Frame::Cut => return,
            };
            let _ended = lines.send(line);
        }
    }
}

fn is_subscribing(method: &str) -> bool {
    matches!(method, "resources/subscribe" | "resources/unsubscribe")
}

fn notice(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

pub(crate) fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}
