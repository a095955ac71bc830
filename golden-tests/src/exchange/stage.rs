//! Performs a script: one gateway, one client, fake servers, one virtual clock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mcpc_dataplane::Rehearsal;
use mcpc_plan::Plan;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::Era;
use super::client::Client;
use super::http;
use super::script::{Action, Script};
use super::server::{Log, Server};
use super::world::{Door, World};
use crate::compiled::{Compiled, Values};

/// How often every task may run before the next action: far more than any chain of messages needs.
const TURNS: usize = 400;

/// Performs a script in one corner; answers the transcript as it is now.
pub(crate) fn perform(
    folder: &Path,
    script: &Script,
    client: Era,
    server: Era,
) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    LocalSet::new().block_on(&runtime, async {
        let mut stage = Stage::open(folder, script, client, server)?;
        stage.settle().await;
        let mut transcript = script.head.clone();
        stage.take_log();
        for step in &script.steps {
            stage
                .act(&step.action)
                .await
                .map_err(|fact| format!("{}: {fact}", step.line))?;
            stage.settle().await;
            transcript.push_str(&step.line);
            transcript.push('\n');
            for line in stage.take_log() {
                transcript.extend(["  ", line.as_str(), "\n"]);
            }
        }
        Ok(transcript)
    })
}

struct Stage<'a> {
    folder: &'a Path,
    log: Log,
    gateway: Rehearsal,
    client: Rc<Client>,
    servers: HashMap<String, Rc<Server>>,
}

impl<'a> Stage<'a> {
    fn open(folder: &'a Path, script: &Script, client: Era, era: Era) -> Result<Self, String> {
        let log: Log = Rc::new(RefCell::default());
        let plan = compile(&folder.join("mcpc.yaml"))?;
        let mut servers = HashMap::new();
        for upstream in &plan.upstreams {
            servers.insert(
                upstream.name.to_string(),
                Server::new(&upstream.name, era, script.is_raw, &log),
            );
        }
        // What a server offers holds from the start, wherever the transcript says so.
        for step in &script.steps {
            if let Action::Offer {
                server,
                kind,
                entries,
            } = &step.action
                && let Some(server) = servers.get(server)
            {
                server.offer(kind, entries.clone());
            }
        }
        let (doors, opened) = mpsc::unbounded_channel();
        let world = World {
            doors,
            is_closed: |name| name.starts_with("dead"),
        };
        tokio::task::spawn_local(connect(opened, servers.clone()));
        let gateway = Rehearsal::start(plan, Arc::new(world)).map_err(|refusal| refusal.reason)?;
        let declared = script.steps.iter().find_map(|step| match &step.action {
            Action::Can { capabilities } => Some(capabilities.clone()),
            _ => None,
        });
        let declared = declared.unwrap_or_else(|| serde_json::json!({}));
        Ok(Self {
            folder,
            client: Client::new(client, declared, script, &log),
            log,
            gateway,
            servers,
        })
    }

    async fn settle(&self) {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    /// What happened since the last action. Client and servers see it independently of each other,
    /// so the order is kept for each of them and not between them.
    fn take_log(&self) -> Vec<String> {
        let mut lines = self.log.take();
        lines.sort_by(|a, b| actor(a).cmp(actor(b)));
        lines
    }

    async fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Call { id, method, params } => {
                self.client.greet(self.gateway.connect()).await;
                self.client.call(self.gateway.connect(), id, method, params);
            }
            Action::Notify { method, params } => {
                self.client.greet(self.gateway.connect()).await;
                self.client.notify(self.gateway.connect(), method, params);
            }
            Action::Listen { resources } => {
                self.client.greet(self.gateway.connect()).await;
                self.client.listen(self.gateway.connect(), resources);
            }
            Action::Can { .. } => {}
            Action::Reply { id, result } => {
                self.client
                    .reply(self.gateway.connect(), id, "result", result);
            }
            Action::Decline { id, error } => {
                self.client
                    .reply(self.gateway.connect(), id, "error", error);
            }
            Action::Leave { id } => self.client.leave(id),
            Action::Resume { id, event } => {
                let connection = self.gateway.connect();
                self.client.resume(connection, id, event.as_deref());
            }
            Action::Send { head, body } => {
                self.client
                    .send(self.gateway.connect(), head, body)
                    .ok_or("not a request")?;
            }
            Action::Offer {
                server,
                kind,
                entries,
            } => self.server(server)?.offer(kind, entries.clone()),
            Action::Answer { server, result } => pending(self.server(server)?.answer(result))?,
            Action::Prefer { server } => self.server(server)?.prefer_latest(),
            Action::Fail { server, error } => pending(self.server(server)?.fail(error))?,
            Action::Write { server, text } => pending(self.server(server)?.write(text))?,
            Action::Tell {
                server,
                method,
                params,
            } => pending(self.server(server)?.tell(method, params))?,
            Action::Ask {
                server,
                method,
                params,
            } => pending(self.server(server)?.ask(method, params))?,
            Action::Wonder {
                server,
                method,
                params,
            } => self.server(server)?.wonder(method, params),
            Action::Change { server, kind } => self.server(server)?.change(kind),
            Action::Update { server, uri } => self.server(server)?.update(uri),
            Action::HangUp { server } => pending(self.server(server)?.hang_up())?,
            Action::Stall { server, is_stalled } => self.server(server)?.stall(*is_stalled),
            Action::Close { server } => self.server(server)?.close(),
            Action::Pass { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Action::Swap { file } => self.swap(file)?,
        }
        Ok(())
    }

    fn server(&self, name: &str) -> Result<&Server, String> {
        self.servers
            .get(name)
            .map(Rc::as_ref)
            .ok_or_else(|| format!("no server {name}"))
    }

    fn swap(&mut self, file: &str) -> Result<(), String> {
        let plan = self.gateway.resolve(compile(&self.folder.join(file))?);
        let line = match self.gateway.swap(plan) {
            Ok(swapped) => format!("{swapped:?}"),
            Err(refusal) => format!("{} {}", refusal.code, refusal.reason),
        };
        self.log.borrow_mut().push(format!("gateway {line}"));
        Ok(())
    }
}

fn actor(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

fn pending(was: bool) -> Result<(), String> {
    if was {
        Ok(())
    } else {
        Err("no call is waiting there".to_owned())
    }
}

/// Gives each connection of the gateway to the server of its name.
pub(crate) async fn connect(
    mut opened: mpsc::UnboundedReceiver<Door>,
    servers: HashMap<String, Rc<Server>>,
) {
    while let Some(door) = opened.recv().await {
        match door {
            Door::Http { server, stream } => {
                if let Some(server) = servers.get(&server) {
                    tokio::task::spawn_local(http::serve(Rc::clone(server), stream));
                }
            }
            Door::Stdio {
                server,
                input,
                output,
                ended,
                killed,
            } => {
                if let Some(server) = servers.get(&server) {
                    tokio::task::spawn_local(
                        Rc::clone(server).serve_pipes(input, output, ended, killed),
                    );
                }
            }
        }
    }
}

fn compile(path: &Path) -> Result<Plan, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let compiled = Compiled::of("mcpc.yaml", text, Some(&Values::default()));
    compiled
        .plan
        .ok_or_else(|| format!("the configuration has findings: {:?}", compiled.diagnostics))
}
