//! Chance decides what happens next: calls, answers, questions, cancellations, streams, updates, new plans, rollbacks, ends
//! of sessions and of processes, and how much time passes. A seed gives the same course each time.
//!
//! Owns the course and what must hold on every one: each call that nobody has given up has one end, which
//! one plan that was live meanwhile explains; a server hears of it once at most; and when all is over nothing
//! is left, neither calls nor connections nor processes nor tasks nor whatever holds on to the outside. What
//! must hold of plans is in `trial`, of streams in `streams`, of questions in `asking`. What a single event leads to is for the
//! transcripts to say.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mcpc_daemon::GatewayFlags;
use mcpc_dataplane::{Reach, Rehearsal};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use super::Era;
use super::server::Server;
use super::stage::connect;
use super::storm::Dice;
use super::world::World;

mod asking;
mod caller;
mod plans;
mod streams;
mod trial;

use caller::{Caller, Ended};
use plans::{PLANS, SERVERS};
use streams::Hearer;
use trial::{Held, Trial};

const STEPS: usize = 600;
const CLIENTS: usize = 6;

/// As in the configuration below.
const FIRST_BYTE: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(5);
/// What calls have of it: three quarters.
const CALLS: Duration = Duration::from_millis(3_750);

/// How often the gateway is let look at its plan.
const LOOK: Duration = Duration::from_millis(200);

/// What streams need to be open, whatever was before.
const SETTLES: Duration = Duration::from_secs(20);

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
    rolled_back: usize,
    went_back: usize,
    passed: usize,
    left_aside: usize,
    deaths: usize,
    sessions_ended: usize,
    updates: usize,
    questions: usize,
    answers: usize,
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
            (&mut self.rolled_back, other.rolled_back),
            (&mut self.went_back, other.went_back),
            (&mut self.passed, other.passed),
            (&mut self.left_aside, other.left_aside),
            (&mut self.deaths, other.deaths),
            (&mut self.sessions_ended, other.sessions_ended),
            (&mut self.updates, other.updates),
            (&mut self.questions, other.questions),
            (&mut self.answers, other.answers),
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
            && self.rolled_back > 10
            && self.went_back > 5
            && self.passed > 20
            && self.left_aside > 5
            && self.updates > 200
            && self.questions > 100
            && self.answers > 50
            && self.deaths > 20
            && self.sessions_ended > 20
    }
}

/// Plays the course of a seed. Plans are kept on disk in every fourth one.
pub fn play(seed: u64) -> Course {
    let state = tempfile::tempdir().expect("a directory");
    let flags = trial::flags(seed.is_multiple_of(4).then(|| state.path()));
    let (mut course, tasks) = play_steps(seed, STEPS, &flags);
    let nothing = trial::flags(None);
    let (_, tasks_without) = play_steps(seed, 0, &nothing);
    if tasks != tasks_without {
        let fault = format!("{tasks} tasks are left, and {tasks_without} if nothing happens");
        course.faults.push(fault);
    }
    course
}

/// Plays so many steps, and gives with the course the number of tasks that are left.
fn play_steps(seed: u64, steps: usize, flags: &GatewayFlags) -> (Course, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let mut scene = Scene::open(seed, flags);
        for _ in 0..steps {
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
    is_given_up: bool,
    session_ended: Rc<Cell<bool>>,
    ended: Rc<RefCell<Option<Ended>>>,
    task: JoinHandle<()>,
}

struct Scene<'a> {
    dice: Dice,
    trial: Trial<'a>,
    servers: Vec<Rc<Server>>,
    callers: Vec<Caller>,
    /// The stream of each client that has one.
    hearers: BTreeMap<usize, Hearer>,
    /// What each session has asked to hear of.
    asked_in: HashMap<String, BTreeSet<String>>,
    streams: usize,
    calls: Vec<Call>,
    /// Which plan became live, in order.
    history: Rc<RefCell<Vec<usize>>>,
    /// When something was done to a server.
    troubles: Vec<(usize, Instant)>,
    course: Course,
}

impl<'a> Scene<'a> {
    fn open(seed: u64, flags: &'a GatewayFlags) -> Self {
        let plans = plans::all();
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
                let uris = streams::resources(&[name]);
                let listed = uris.iter().map(|uri| json!({ "uri": uri, "name": uri }));
                server.offer("resources", listed.collect());
                server.offer("subscriptions", json!(uris));
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
        let world: Arc<dyn Reach> = Arc::new(world);
        let first = plans.first().expect("a plan").clone();
        let gateway = Rehearsal::start(first, Arc::clone(&world)).expect("a sound plan");
        let eras = (0..CLIENTS).map(|number| Era::BOTH[number % Era::BOTH.len()]);
        let callers = eras.map(|era| Caller::new(era, &gateway)).collect();
        let trial = Trial::begin(gateway, plans, flags, &world);
        Self {
            dice: Dice(seed),
            callers,
            history: Rc::clone(&trial.history),
            trial,
            servers,
            hearers: BTreeMap::new(),
            asked_in: HashMap::new(),
            streams: 0,
            calls: Vec::new(),
            troubles: Vec::new(),
            course: Course::default(),
        }
    }

    /// One thing happens, and then a little of what follows from it.
    async fn step(&mut self) {
        let one = self.dice.roll(SERVERS.len());
        match self.dice.roll(100) {
            0..36 => self.call(one),
            36..59 => {
                let chosen = self.dice.roll(100);
                self.server(one).echo(chosen);
            }
            59..64 => {
                let chosen = self.dice.roll(100);
                self.server(one).inquire(chosen);
            }
            64..69 => self.give_up(),
            69..73 => self.reload(),
            73..75 => self.end_process_or_connections(one),
            75..77 => self.end_session(),
            77..81 => self.hear(),
            81..82 => self.stop_hearing(),
            82..88 => self.update(one),
            88..97 => self.pass(Duration::from_millis(700)).await,
            _ => self.pass(Duration::from_secs(8)).await,
        }
        for _ in 0..self.dice.roll(12) {
            tokio::task::yield_now().await;
        }
        self.trial.look_after();
    }

    /// Lets time pass. The gateway looks at its plan meanwhile, as one that has a thread for it.
    async fn pass(&mut self, most: Duration) {
        let part = u32::try_from(self.dice.roll(100)).unwrap_or(0);
        let end = Instant::now() + most * part / 100;
        while Instant::now() < end {
            tokio::time::sleep_until(end.min(Instant::now() + LOOK)).await;
            self.trial.look_after();
        }
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
        let plans_before = self.history.borrow().len();
        let Some(asking) = caller.call(self.trial.gateway(), &name, &arguments) else {
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

    /// The source changes, or an operator wants something.
    fn reload(&mut self) {
        match self.dice.roll(10) {
            0..6 => {
                let number = self.dice.roll(PLANS);
                self.trial.edit(Held::Plan(number));
            }
            6 => self.trial.edit(Held::Elsewhere),
            7 => self.trial.edit(Held::Nothing),
            8 => self.trial.reload(),
            _ => self.trial.roll_back(),
        }
    }

    /// A client opens its stream, or another one in place of it, and asks for some of the resources.
    fn hear(&mut self) {
        let client = self.dice.roll(CLIENTS);
        let all = streams::resources(&SERVERS);
        let dice = &mut self.dice;
        let asked = all.into_iter().filter(|_| dice.roll(3) == 0).collect();
        let wants_lists = dice.roll(2) == 0;
        self.hear_of(client, asked, wants_lists);
    }

    fn hear_of(&mut self, client: usize, asked: BTreeSet<String>, wants_lists: bool) {
        self.forget_hearer(client);
        let caller = self.callers.get(client).expect("a client");
        let entrance = self.trial.gateway().entrance();
        self.streams += 1;
        let hearer = match (caller.era(), caller.session()) {
            (Era::Modern, _) => Hearer::modern(&entrance, self.streams, asked, wants_lists),
            (Era::Legacy, Some(session)) => {
                let of_session = self.asked_in.entry(session.clone()).or_default();
                of_session.extend(asked);
                Hearer::legacy(&entrance, &session, of_session.clone())
            }
            (Era::Legacy, None) => return,
        };
        self.hearers.insert(client, hearer);
    }

    fn stop_hearing(&mut self) {
        let client = self.dice.roll(CLIENTS);
        self.forget_hearer(client);
    }

    fn forget_hearer(&mut self, client: usize) {
        if let Some(hearer) = self.hearers.remove(&client) {
            self.course.updates += hearer.all_updates();
            self.course.faults.extend(hearer.faults());
        }
    }

    fn update(&mut self, server: usize) {
        let number = 1 + self.dice.roll(2);
        let server = self.server(server);
        server.update(&format!("{}://{number}", server.name));
    }

    fn end_process_or_connections(&mut self, server: usize) {
        self.server(server).close();
        self.troubles.push((server, Instant::now()));
        self.course.deaths += 1;
    }

    fn end_session(&mut self) {
        let client = self.dice.roll(CLIENTS);
        let gateway = self.trial.gateway();
        if let Some(caller) = self.callers.get_mut(client)
            && caller.end_session(gateway)
        {
            self.course.sessions_ended += 1;
        }
    }

    /// Lets everything come to its end, and judges it.
    async fn end(mut self) -> (Course, usize) {
        for _ in 0..120 {
            for server in &self.servers {
                while server.echo(0) {}
            }
            let next = Instant::now() + Duration::from_secs(1);
            while Instant::now() < next {
                tokio::time::sleep(LOOK).await;
                self.trial.look_after();
            }
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
        self.hold_streams().await;
        self.sweep().await
    }

    /// After all that has happened, updates reach those who have asked for them, once, and nobody else.
    async fn hold_streams(&mut self) {
        self.trial.settle();
        let all = streams::resources(&SERVERS);
        for client in 0..CLIENTS {
            self.forget_hearer(client);
            if let Some(caller) = self.callers.get_mut(client) {
                caller.end_session(self.trial.gateway());
            }
        }
        tokio::time::sleep(SETTLES).await;
        for client in 0..CLIENTS {
            let asked = all.iter().skip(client % 3).step_by(2).cloned().collect();
            self.hear_of(client, asked, false);
        }
        tokio::time::sleep(SETTLES).await;
        for uri in &all {
            let counts = |scene: &Self| -> Vec<usize> {
                let hearers = scene.hearers.values();
                hearers.map(|hearer| hearer.updates(uri)).collect()
            };
            let before = counts(self);
            for server in &self.servers {
                server.update(uri);
            }
            tokio::time::sleep(LOOK * 5).await;
            let after = counts(self);
            for (at, (client, hearer)) in self.hearers.iter().enumerate() {
                let heard = after
                    .get(at)
                    .zip(before.get(at))
                    .map(|(now, then)| now - then);
                let expected = usize::from(hearer.asked.contains(uri));
                if heard != Some(expected) || hearer.is_over() {
                    let over = hearer.is_over();
                    let fault =
                        format!("client {client} heard {heard:?} times of {uri} (over: {over})");
                    self.course.faults.push(fault);
                }
            }
        }
        if self.hearers.len() != CLIENTS {
            let fault = format!("{} clients have a stream", self.hearers.len());
            self.course.faults.push(fault);
        }
        for client in 0..CLIENTS {
            self.forget_hearer(client);
        }
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
        let mark = call.arguments["mark"].as_u64().unwrap_or_default();
        let mut callers = self.callers.iter();
        let was_asked = callers.any(|it| it.asked.within.borrow().contains(&mark));
        let was_live = ended.live.contains(&call.plan);
        let is_explained = match ended.code() {
            None => ended.text() == Some(call.arguments.to_string()) && was_live && times == 1,
            Some("MCPC9109") => {
                let has_it =
                    |plan: &usize| *plan == call.plan && plans::has_server(*plan, call.server);
                !ended.live.iter().all(has_it) && (times == 0 || was_asked)
            }
            // The call that waited for an answer has ended with its server, or with its plan.
            Some("MCPC9117") => {
                was_asked && (self.is_aftermath(call, ended) || ended.live.len() > 1)
            }
            // Whoever ends a session gives up what is asked in it.
            Some("MCPC9202" | "no reply") => call.session_ended.get(),
            Some("MCPC9303" | "MCPC9304" | "MCPC9305") => took >= FIRST_BYTE,
            Some("MCPC9317") => ended.live.len() > 1 && took >= CALLS,
            Some("MCPC9301" | "MCPC9302" | "MCPC9306" | "MCPC9313")
                if !plans::is_reached(call.plan, call.server) =>
            {
                was_live && times == 0
            }
            Some("MCPC9301" | "MCPC9302" | "MCPC9306" | "MCPC9313") => {
                self.is_aftermath(call, ended)
            }
            Some(_) => false,
        };
        (!is_explained).then(|| {
            format!(
                "to {} of plan {}, {:?} live, heard {times} times, asked {was_asked}, {took:?}: {:?}",
                SERVERS[call.server], call.plan, ended.live, ended.reply
            )
        })
    }

    /// Whether something was done to the server of a call, long enough ago or short enough.
    fn is_aftermath(&self, call: &Call, ended: &Ended) -> bool {
        let began = call.began.checked_sub(AFTERMATH).unwrap_or(call.began);
        let mut troubles = self.troubles.iter();
        troubles.any(|(server, at)| *server == call.server && (began..=ended.at).contains(at))
    }

    /// Takes the world down piece by piece, and looks for what stays.
    async fn sweep(mut self) -> (Course, usize) {
        for caller in &mut self.callers {
            caller.leave(self.trial.gateway());
        }
        tokio::time::sleep(SETTLES).await;
        let promises = |server: &Rc<Server>| {
            let promises = format!("promises of {}", server.name);
            (promises, server.promises())
        };
        // What was promised to a legacy process ends with it, and the server behind does not tell them apart.
        let lasts = |server: &&Rc<Server>| server.era == Era::Modern || server.name != "pipe";
        let lasting = self.servers.iter().filter(lasts);
        let mut left: Vec<(String, usize)> = lasting.map(promises).collect();
        // A plan without any of the servers: whatever they have cost must be gone after the grace.
        self.trial.end();
        tokio::time::sleep(GRACE * 4).await;
        let status = self.trial.gateway().status();
        left.extend([
            (
                "connections of clients".to_owned(),
                status.connections as usize,
            ),
            ("sessions".to_owned(), status.sessions as usize),
        ]);
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
        let count = self.trial.count;
        course.swapped = count.swapped;
        course.refused = count.refused;
        course.rolled_back = count.rolled_back;
        course.went_back = count.went_back;
        course.passed = count.passed;
        course.left_aside = count.left_aside;
        course.faults.append(&mut self.trial.faults);
        let left = left.into_iter().filter(|(_, count)| *count > 0);
        course
            .faults
            .extend(left.map(|(what, count)| format!("{count} {what} are left")));
        for caller in &self.callers {
            course.questions += caller.asked.times.get();
            course.faults.append(&mut caller.asked.faults.borrow_mut());
        }
        for server in &self.servers {
            course.answers += server.heard.get();
            course.faults.append(&mut server.misheard.borrow_mut());
        }
        let tasks = tokio::runtime::Handle::current().metrics();
        (course, tasks.num_alive_tasks())
    }
}
