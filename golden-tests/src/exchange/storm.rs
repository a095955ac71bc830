//! Plans are swapped at random while clients call: every reply must be explained by exactly one plan
//! that was live between the call and its reply, and none may be missing.
//!
//! Each plan gives the only tool a name of its own, so a reply tells which plans can have made it:
//! a result only the plan that has the name, "no such tool" only one that has not.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mcpc_dataplane::{Rehearsal, Swapped};
use mcpc_plan::Plan;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::Era;
use super::server::Server;
use super::stage::connect;
use super::world::World;
use crate::compiled::{Compiled, Values};

const PLANS: usize = 4;
const CLIENTS: usize = 8;

/// What a storm came to.
#[derive(Debug, Default)]
pub struct Storm {
    /// Replies that one live plan explains.
    pub explained: usize,
    /// Replies that no live plan explains, and calls without a reply.
    pub unexplained: Vec<String>,
    /// Plans that became live.
    pub swapped: usize,
    /// Plans that were refused.
    pub refused: usize,
}

/// Runs a storm: every client makes so many calls; the seed decides who does what when.
pub fn storm(calls: usize, seed: u64) -> Storm {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, rage(calls, seed))
}

struct Sky {
    /// Which plan became live, in order.
    history: RefCell<Vec<usize>>,
    storm: RefCell<Storm>,
    running: Cell<usize>,
}

async fn rage(calls: usize, seed: u64) -> Storm {
    let plans: Vec<Plan> = (0..PLANS).map(|number| plan(&tool(number), 8080)).collect();
    let server = Server::new("echo", Era::Modern, false, &Rc::default());
    server.offer("tools", json!([{ "name": "real" }]));
    let (doors, opened) = mpsc::unbounded_channel();
    tokio::task::spawn_local(connect(
        opened,
        HashMap::from([("echo".to_owned(), Rc::clone(&server))]),
    ));
    let world = World {
        doors,
        is_closed: |_| false,
    };
    let first = plans.first().expect("a plan").clone();
    let mut gateway = Rehearsal::start(first, Arc::new(world)).expect("a sound plan");
    let sky = Rc::new(Sky {
        history: RefCell::new(vec![0]),
        storm: RefCell::default(),
        running: Cell::new(CLIENTS),
    });
    for client in 0..CLIENTS {
        let pipe = gateway.connect();
        let (sender, connection) = handshake(TokioIo::new(pipe)).await.expect("a connection");
        tokio::task::spawn_local(connection);
        tokio::task::spawn_local(Rc::clone(&sky).call(
            sender,
            calls,
            Dice(seed ^ (client as u64 + 1)),
        ));
    }
    let mut dice = Dice(seed);
    while sky.running.get() > 0 {
        sky.swap(&mut gateway, &plans, dice.roll(PLANS + 1));
        while server.answer(&json!({ "content": [] })) {}
        for _ in 0..=dice.roll(4) {
            tokio::task::yield_now().await;
        }
    }
    sky.storm.take()
}

impl Sky {
    fn swap(&self, gateway: &mut Rehearsal, plans: &[Plan], number: usize) {
        // One number beyond the plans stands for a plan that cannot go live.
        let next = plans
            .get(number)
            .cloned()
            .unwrap_or_else(|| plan("other", 9));
        match gateway.swap(gateway.resolve(next)) {
            Ok(Swapped::Live { .. }) => {
                self.history.borrow_mut().push(number);
                self.storm.borrow_mut().swapped += 1;
            }
            Ok(Swapped::Unchanged) => {}
            Err(_) => self.storm.borrow_mut().refused += 1,
        }
    }

    async fn call(
        self: Rc<Self>,
        mut sender: SendRequest<Full<Bytes>>,
        calls: usize,
        mut dice: Dice,
    ) {
        for id in 0..calls {
            let number = dice.roll(PLANS);
            let before = self.history.borrow().len() - 1;
            let reply = ask(&mut sender, id, &tool(number)).await;
            let live = self
                .history
                .borrow()
                .get(before..)
                .unwrap_or_default()
                .to_vec();
            self.judge(id, number, &live, reply.as_ref());
        }
        self.running.set(self.running.get() - 1);
    }

    fn judge(&self, id: usize, number: usize, live: &[usize], reply: Option<&Value>) {
        let mut storm = self.storm.borrow_mut();
        let Some(reply) = reply.filter(|reply| reply["id"] == id) else {
            storm
                .unexplained
                .push(format!("call {id} has no reply of its own: {reply:?}"));
            return;
        };
        let is_explained = if reply["error"]["data"]["code"] == "MCPC9109" {
            live.iter().any(|plan| *plan != number)
        } else {
            reply["result"]["content"].is_array() && live.contains(&number)
        };
        if is_explained {
            storm.explained += 1;
        } else {
            storm
                .unexplained
                .push(format!("plan {number}, live {live:?}: {reply}"));
        }
    }
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, id: usize, name: &str) -> Option<Value> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let params = json!({ "name": name, "arguments": {}, "_meta": meta });
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let request = Request::post("/mcp")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", name)
        .body(Full::new(Bytes::from(message.to_string())))
        .ok()?;
    sender.ready().await.ok()?;
    let response = sender.send_request(request).await.ok()?;
    let body = response.into_body().collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok()
}

fn tool(number: usize) -> String {
    format!("v{number}")
}

fn plan(name: &str, port: u16) -> Plan {
    let text = format!(
        "version: 1\nlisten: {{ address: 127.0.0.1:{port} }}\nservers:\n  echo:\n    url: http://echo.test/mcp\n    tools: {{ allow: [real], rename: {{ real: {name} }} }}\n"
    );
    let compiled = Compiled::of("mcpc.yaml", text.into_bytes(), Some(&Values::default()));
    compiled.plan.expect("a sound configuration")
}

/// A small linear congruential generator (Knuth's constants): the same storm for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides
    }
}
