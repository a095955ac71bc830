//! Chance decides what happens next: calls, answers, cancellations, new plans, ends of sessions and of
//! processes, and how much time passes. A seed gives the same course each time.
//!
//! Owns the course and what must hold on every one: each call that nobody has given up has one end, which
//! one plan that was live meanwhile explains; a server hears of it once at most; and when all is over nothing
//! is left, neither calls nor connections nor processes nor whatever holds on to the outside. What a
//! single event leads to is for the transcripts to say.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mcpc_dataplane::{Rehearsal, Swapped};
use mcpc_plan::Plan;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use super::Era;
use super::server::Server;
use super::stage::connect;
use super::storm::Dice;
use super::world::World;
use crate::compiled::{Compiled, Values};

mod caller;

use caller::{Caller, Ended};

const STEPS: usize = 400;
const PLANS: usize = 4;
const CLIENTS: usize = 6;

/// Two servers over HTTP, one of each era, and a process.
const SERVERS: [&str; 3] = ["web", "old", "pipe"];

/// As in the configuration below.
const FIRST_BYTE: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(5);

/// How long what has happened to a server can be the reason of what happens to its calls: longer than
/// any pause before a process is started again.
const AFTERMATH: Duration = Duration::from_secs(90);

/// What happened on a course.
#[derive(Debug, Default)]
pub struct Course {
    /// What should not have happened.
    pub faults: Vec<String>,
    answered: usize,
    failed: usize,
    given_up: usize,
    swapped: usize,
    refused: usize,
    deaths: usize,
    sessions_ended: usize,
}

impl Course {
    /// Adds what happened on another one.
    pub fn add(&mut self, other: &Self) {
        self.faults.extend(other.faults.iter().cloned());
        for (sum, count) in [
            (&mut self.answered, other.answered),
            (&mut self.failed, other.failed),
            (&mut self.given_up, other.given_up),
            (&mut self.swapped, other.swapped),
            (&mut self.refused, other.refused),
            (&mut self.deaths, other.deaths),
            (&mut self.sessions_ended, other.sessions_ended),
        ] {
            *sum += count;
        }
    }

    /// Whether everything has happened that can.
    pub const fn is_eventful(&self) -> bool {
        self.answered > 500
            && self.failed > 50
            && self.given_up > 50
            && self.swapped > 100
            && self.refused > 20
            && self.deaths > 20
            && self.sessions_ended > 20
    }
}

/// Plays the course of a seed.
pub fn play(seed: u64) -> Course {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let mut scene = Scene::open(seed);
        for _ in 0..STEPS {
            scene.step().await;
        }
        scene.end().await
    })
}

/// A call, and what became of it.
struct Call {
    server: usize,
    plan: usize,
    arguments: Value,
    began: Instant,
    /// How many plans had become live by then.
    plans_before: usize,
    is_given_up: bool,
    session_ended: Rc<Cell<bool>>,
    ended: Rc<RefCell<Option<Ended>>>,
    task: JoinHandle<()>,
}

struct Scene {
    dice: Dice,
    gateway: Rehearsal,
    plans: Vec<Plan>,
    servers: Vec<Rc<Server>>,
    callers: Vec<Caller>,
    calls: Vec<Call>,
    /// Which plan became live, in order.
    history: Rc<RefCell<Vec<usize>>>,
    /// When something was done to a server.
    troubles: Vec<(usize, Instant)>,
    course: Course,
}

impl Scene {
    fn open(seed: u64) -> Self {
        let plans: Vec<Plan> = (0..PLANS).map(|number| plan(number, 8080)).collect();
        let pipe = if seed.is_multiple_of(2) {
            Era::Modern
        } else {
            Era::Legacy
        };
        let eras = [Era::Modern, Era::Legacy, pipe];
        let servers: Vec<Rc<Server>> = SERVERS
            .iter()
            .zip(eras)
            .map(|(name, era)| {
                let server = Server::new(name, era, false, &Rc::default());
                server.offer("tools", json!([{ "name": "real" }]));
                server
            })
            .collect();
        let (doors, opened) = mpsc::unbounded_channel();
        let named = SERVERS.iter().map(|&name| name.to_owned());
        let named: HashMap<_, _> = named.zip(servers.iter().cloned()).collect();
        tokio::task::spawn_local(connect(opened, named));
        let world = World {
            doors,
            is_closed: |name| name == "none",
        };
        let first = plans.first().expect("a plan").clone();
        let gateway = Rehearsal::start(first, Arc::new(world)).expect("a sound plan");
        let eras = (0..CLIENTS).map(|number| Era::BOTH[number % Era::BOTH.len()]);
        Self {
            dice: Dice(seed),
            callers: eras.map(|era| Caller::new(era, &gateway)).collect(),
            gateway,
            plans,
            servers,
            calls: Vec::new(),
            history: Rc::new(RefCell::new(vec![0])),
            troubles: Vec::new(),
            course: Course::default(),
        }
    }

    /// One thing happens, and then a little of what follows from it.
    async fn step(&mut self) {
        let one = self.dice.roll(SERVERS.len());
        match self.dice.roll(100) {
            0..40 => self.call(one),
            40..72 => {
                let chosen = self.dice.roll(100);
                self.server(one).echo(chosen);
            }
            72..78 => self.give_up(),
            78..85 => self.swap(),
            85..87 => self.end_process_or_connections(one),
            87..89 => self.end_session(),
            89..97 => self.pass(Duration::from_millis(700)).await,
            _ => self.pass(Duration::from_secs(8)).await,
        }
        for _ in 0..self.dice.roll(12) {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&mut self, most: Duration) {
        let part = u32::try_from(self.dice.roll(100)).unwrap_or(0);
        tokio::time::sleep(most * part / 100).await;
    }

    fn server(&self, number: usize) -> &Rc<Server> {
        self.servers.get(number).expect("a server of the table")
    }

    fn call(&mut self, server: usize) {
        // Mostly a tool that there is.
        let live = self.history.borrow().last().copied();
        let any = self.dice.roll(PLANS);
        let plan = live.filter(|_| self.dice.roll(10) < 8).unwrap_or(any);
        let mark = self.calls.len();
        let client = self.dice.roll(CLIENTS);
        let caller = self.callers.get(client).expect("a client");
        let name = format!("{}__v{plan}", SERVERS[server]);
        let arguments = json!({ "mark": mark });
        let ended = Rc::new(RefCell::new(None));
        let history = Rc::clone(&self.history);
        let (plans_before, pipe) = (self.history.borrow().len(), self.gateway.connect());
        let Some(asking) = caller.call(pipe, &name, &arguments) else {
            // It has no session yet.
            return;
        };
        let place = Rc::clone(&ended);
        let task = tokio::task::spawn_local(async move {
            let reply = asking.await;
            let live = history.borrow().get(plans_before - 1..).map(<[_]>::to_vec);
            *place.borrow_mut() = Some(Ended {
                reply,
                at: Instant::now(),
                live: live.unwrap_or_default(),
            });
        });
        self.calls.push(Call {
            server,
            plan,
            arguments,
            began: Instant::now(),
            plans_before,
            is_given_up: false,
            session_ended: caller.session_ended(),
            ended,
            task,
        });
    }

    /// A client closes the connection of a call that it waits for.
    fn give_up(&mut self) {
        let waits = |call: &&mut Call| call.ended.borrow().is_none() && !call.is_given_up;
        let mut waiting: Vec<&mut Call> = self.calls.iter_mut().filter(waits).collect();
        let chosen = self.dice.roll(waiting.len().max(1));
        if let Some(call) = waiting.get_mut(chosen) {
            call.is_given_up = true;
            call.task.abort();
            self.course.given_up += 1;
        }
    }

    fn swap(&mut self) {
        let number = self.dice.roll(PLANS + 2);
        // Numbers beyond the plans stand for plans that cannot go live.
        let next = self.plans.get(number).cloned();
        match self.gateway.swap(next.unwrap_or_else(|| plan(0, 9))) {
            Ok(Swapped::Live { .. }) => {
                self.history.borrow_mut().push(number);
                self.course.swapped += 1;
            }
            Ok(Swapped::Unchanged) => {}
            Err(_) => self.course.refused += 1,
        }
    }

    fn end_process_or_connections(&mut self, server: usize) {
        self.server(server).close();
        self.troubles.push((server, Instant::now()));
        self.course.deaths += 1;
    }

    fn end_session(&mut self) {
        let client = self.dice.roll(CLIENTS);
        let gateway = &self.gateway;
        if let Some(caller) = self.callers.get_mut(client)
            && caller.end_session(gateway)
        {
            self.course.sessions_ended += 1;
        }
    }

    /// Lets everything come to its end, and judges it.
    async fn end(mut self) -> Course {
        for _ in 0..120 {
            for server in &self.servers {
                while server.echo(0) {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for index in 0..self.calls.len() {
            if let Some(fault) = self.calls.get(index).and_then(|call| self.judge(call)) {
                self.course.faults.push(format!("call {index}: {fault}"));
            }
        }
        let ends = self.calls.iter().filter(|call| !call.is_given_up);
        let ends = ends.filter_map(|call| call.ended.borrow().as_ref().map(Ended::is_answer));
        let (answered, failed): (Vec<bool>, Vec<bool>) = ends.partition(|is_answer| *is_answer);
        (self.course.answered, self.course.failed) = (answered.len(), failed.len());
        self.sweep().await
    }

    /// Why the end of a call is none that it may have.
    fn judge(&self, call: &Call) -> Option<String> {
        let times = self.server(call.server).times_called(&call.arguments);
        if times > 1 {
            return Some(format!("the server heard of it {times} times"));
        }
        if call.is_given_up {
            return None;
        }
        let ended = call.ended.borrow();
        let Some(ended) = ended.as_ref() else {
            return Some("it never ended".to_owned());
        };
        let took = ended.at - call.began;
        let was_live = ended.live.contains(&call.plan);
        let is_explained = match ended.code() {
            None => ended.text() == Some(call.arguments.to_string()) && was_live && times == 1,
            Some("MCPC9109") => {
                let has_it = |plan: &usize| *plan == call.plan && has_server(*plan, call.server);
                !ended.live.iter().all(has_it) && times == 0
            }
            // Whoever ends a session gives up what is asked in it.
            Some("MCPC9202" | "no reply") => call.session_ended.get(),
            Some("MCPC9303" | "MCPC9304" | "MCPC9305") => took >= FIRST_BYTE,
            Some("MCPC9317") => ended.live.len() > 1 && took >= GRACE,
            Some("MCPC9301" | "MCPC9302" | "MCPC9306" | "MCPC9313") => {
                let began = call.began.checked_sub(AFTERMATH).unwrap_or(call.began);
                let mut troubles = self.troubles.iter();
                troubles
                    .any(|(server, at)| *server == call.server && (began..=ended.at).contains(at))
                    || (ended.live.len() > 1 && took >= GRACE)
            }
            Some(_) => false,
        };
        (!is_explained).then(|| {
            format!(
                "plan {} of {:?} ({} before), heard {times} times, {took:?}: {:?}",
                call.plan, ended.live, call.plans_before, ended.reply
            )
        })
    }

    /// Takes the world down piece by piece, and looks for what stays.
    async fn sweep(mut self) -> Course {
        for caller in &mut self.callers {
            caller.leave(&self.gateway);
        }
        // A plan without any of the servers: whatever they have cost must be gone after the grace.
        self.gateway.swap(empty()).expect("a sound plan");
        tokio::time::sleep(GRACE * 4).await;
        let status = self.gateway.status();
        let mut left = vec![
            (
                "connections of clients".to_owned(),
                status.connections as usize,
            ),
            ("sessions".to_owned(), status.sessions as usize),
        ];
        let in_flight = status.upstreams.iter().map(|it| it.in_flight as usize);
        left.push(("calls in flight".to_owned(), in_flight.sum()));
        for server in &self.servers {
            left.push((format!("calls that {} has", server.name), server.waiting()));
            left.push((format!("processes of {}", server.name), server.running()));
        }
        for server in &self.servers {
            // Each connection that the gateway holds has somebody at its other end. Besides there are this
            // list and whoever waits for connections.
            left.push((
                format!("connections to {}", server.name),
                Rc::strong_count(server) - 2,
            ));
        }
        let mut course = self.course;
        let left = left.into_iter().filter(|(_, count)| *count > 0);
        course
            .faults
            .extend(left.map(|(what, count)| format!("{count} {what} are left")));
        course
    }
}

/// Each plan has its own names for the tools. The process is another one in every second plan, and the
/// last one has none.
fn plan(number: usize, port: u16) -> Plan {
    compiled(&written(number, port))
}

fn has_server(plan: usize, server: usize) -> bool {
    plan + 1 < PLANS || SERVERS.get(server) != Some(&"pipe")
}

/// A plan without any server that there is.
fn empty() -> Plan {
    compiled("version: 1\nservers: { none: { url: \"http://none.test/mcp\" } }\n")
}

fn written(number: usize, port: u16) -> String {
    let tools = format!(
        "tools: {{ allow: [real], rename: {{ real: v{number} }} }}, timeouts: {{ first_byte: 20s, total: 30s }}"
    );
    let pipe = if number + 1 < PLANS {
        let argument = number % 2;
        format!("  pipe: {{ command: pipe, args: [\"{argument}\"], {tools} }}\n")
    } else {
        String::new()
    };
    format!(
        "version: 1\nlisten: {{ address: 127.0.0.1:{port} }}\nlimits: {{ grace: 5s }}\nservers:\n\
         \x20 web: {{ url: \"http://web.test/mcp\", {tools} }}\n\
         \x20 old: {{ url: \"http://old.test/mcp\", {tools} }}\n{pipe}\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}__\" }} }}\n"
    )
}

fn compiled(text: &str) -> Plan {
    let text = text.as_bytes().to_vec();
    let compiled = Compiled::of("mcpc.yaml", text, Some(&Values::default()));
    let findings = compiled.diagnostics;
    compiled
        .plan
        .unwrap_or_else(|| unreachable!("{findings:?}"))
}
