//! Reads a transcript's actions. Indented lines are what came of them and are not read.

use serde_json::Value;

use super::Era;

/// A transcript to perform.
pub(crate) struct Script {
    /// The lines before the first action: comments and the corners.
    pub(crate) head: String,
    pub(crate) clients: Vec<Era>,
    pub(crate) servers: Vec<Era>,
    /// What is shown of messages: everything, or only what does not depend on the era.
    pub(crate) is_raw: bool,
    /// Whether ids of events, comments and the ends of streams are shown.
    pub(crate) shows_events: bool,
    pub(crate) steps: Vec<Step>,
}

/// One action, and the line that it stands on in the transcript.
pub(crate) struct Step {
    pub(crate) line: String,
    pub(crate) action: Action,
}

/// What somebody does.
pub(crate) enum Action {
    /// `client calls 1 tools/call {"name":"a"}`
    Call {
        id: Value,
        method: String,
        params: Value,
    },
    /// `client notifies notifications/cancelled {"requestId":1}`
    Notify { method: String, params: Value },
    /// `client can {"roots":{}}`: the capabilities that it declares from the start.
    Can { capabilities: Value },
    /// `client replies 1 {"roots":[]}`: to a request of the gateway.
    Reply { id: Value, result: Value },
    /// `client declines 1 {"code":-1,"message":"no"}`: with an error.
    Decline { id: Value, error: Value },
    /// `client leaves 1`
    Leave { id: Value },
    /// `client listens`, or `client listens ["a://1"]` to hear of updates of resources as well.
    Listen { resources: Value },
    /// `client resumes 1`, `client resumes 1 behind a-0`: the stream of a call, behind the last
    /// event that it got or another one.
    Resume { id: Value, event: Option<String> },
    /// `client sends POST /mcp Host=x {"jsonrpc":…`: header pairs, then the body as it is.
    Send { head: Vec<String>, body: String },
    /// `server a offers tools [{"name":"a"}]`
    Offer {
        server: String,
        kind: String,
        entries: Value,
    },
    /// `server a answers {"content":[]}`
    Answer { server: String, result: Value },
    /// `server a fails {"code":-32603,"message":"x"}`
    Fail { server: String, error: Value },
    /// `server a notifies notifications/progress {"progress":1}`: within the oldest call.
    Tell {
        server: String,
        method: String,
        params: Value,
    },
    /// `server a asks roots/list {}`: the client, within the oldest call.
    Ask {
        server: String,
        method: String,
        params: Value,
    },
    /// `server a wonders roots/list {}`: asks on its own stream, for no call that it names.
    Wonder {
        server: String,
        method: String,
        params: Value,
    },
    /// `server a changes tools`: list-changed on its own stream.
    Change { server: String, kind: String },
    /// `server a updates file:///b`: a resource, told to whom it is said to be of interest.
    Update { server: String, uri: String },
    /// `server a writes text`: in place of the answer of the oldest call.
    Write { server: String, text: String },
    /// `server a hangs up`: lets go of the connection of the oldest call, to be asked again.
    HangUp { server: String },
    /// `server a stalls`, `server a recovers`: what it is asked meanwhile is never answered.
    Stall { server: String, is_stalled: bool },
    /// `server a prefers its latest call`: it counts as the oldest one.
    Prefer { server: String },
    /// `server a closes`
    Close { server: String },
    /// `time passes 5s`
    Pass { ms: u64 },
    /// `plan becomes other.yaml`
    Swap { file: String },
}

impl Script {
    /// Reads a transcript; an error names the line.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut script = Self {
            head: String::new(),
            clients: Era::BOTH.to_vec(),
            servers: Era::BOTH.to_vec(),
            is_raw: false,
            shows_events: false,
            steps: Vec::new(),
        };
        for (number, line) in text.lines().enumerate() {
            let is_outcome = line.starts_with(' ');
            let is_head = line.is_empty()
                || line.starts_with('#')
                || line.contains(": ") && script.steps.is_empty();
            if is_outcome {
                continue;
            }
            if is_head && script.steps.is_empty() {
                script.head_line(line).map_err(|fact| (number + 1, fact))?;
            } else if !line.is_empty() {
                let action =
                    Action::parse(line).ok_or((number + 1, format!("not an action: {line}")))?;
                script.steps.push(Step {
                    line: line.to_owned(),
                    action,
                });
            }
        }
        if script.steps.is_empty() {
            Err((1, "no action".to_owned()))
        } else {
            Ok(script)
        }
    }

    fn head_line(&mut self, line: &str) -> Result<(), String> {
        self.head.push_str(line);
        self.head.push('\n');
        let eras = |name: &str| match name {
            "modern" => Ok(vec![Era::Modern]),
            "legacy" => Ok(vec![Era::Legacy]),
            _ => Err(format!("not an era: {name}")),
        };
        match line.split_once(": ") {
            Some(("client", era)) => self.clients = eras(era)?,
            Some(("server", era)) => self.servers = eras(era)?,
            Some(("show", "raw")) => self.is_raw = true,
            Some(("show", "events")) => self.shows_events = true,
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => return Err(format!("not a setting: {line}")),
        }
        Ok(())
    }

    /// The corners in which the transcript must be the same.
    pub(crate) fn corners(&self) -> Vec<(Era, Era)> {
        let pairs = self
            .clients
            .iter()
            .flat_map(|client| self.servers.iter().map(|server| (*client, *server)));
        pairs.collect()
    }
}

impl Action {
    fn parse(line: &str) -> Option<Self> {
        let (who, rest) = line.split_once(' ')?;
        match who {
            "client" => Self::of_client(rest),
            "server" => {
                let (server, rest) = rest.split_once(' ')?;
                Self::of_server(server.to_owned(), rest)
            }
            "time" => Some(Self::Pass {
                ms: milliseconds(rest.strip_prefix("passes ")?)?,
            }),
            "plan" => Some(Self::Swap {
                file: rest.strip_prefix("becomes ")?.to_owned(),
            }),
            _ => None,
        }
    }

    fn of_client(text: &str) -> Option<Self> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "calls" => {
                let (id, rest) = rest.split_once(' ')?;
                let (method, params) = method_and_params(rest)?;
                Some(Self::Call {
                    id: serde_json::from_str(id).ok()?,
                    method,
                    params,
                })
            }
            "notifies" => {
                let (method, params) = method_and_params(rest)?;
                Some(Self::Notify { method, params })
            }
            "leaves" => Some(Self::Leave {
                id: serde_json::from_str(rest).ok()?,
            }),
            "listens" => Some(Self::Listen {
                resources: serde_json::from_str(if rest.is_empty() { "[]" } else { rest }).ok()?,
            }),
            "resumes" => {
                let (id, event) = match rest.split_once(" behind ") {
                    Some((id, event)) => (id, Some(event.to_owned())),
                    None => (rest, None),
                };
                let id = serde_json::from_str(id).ok()?;
                Some(Self::Resume { id, event })
            }
            "can" => Some(Self::Can {
                capabilities: serde_json::from_str(rest).ok()?,
            }),
            "replies" | "declines" => {
                let (id, value) = rest.split_once(' ')?;
                let id = serde_json::from_str(id).ok()?;
                let value = serde_json::from_str(value).ok()?;
                Some(if verb == "replies" {
                    Self::Reply { id, result: value }
                } else {
                    Self::Decline { id, error: value }
                })
            }
            "sends" => {
                let at = rest.find(" | ").unwrap_or(rest.len());
                let (head, body) = rest.split_at(at);
                let head = head.split(' ').map(str::to_owned).collect();
                Some(Self::Send {
                    head,
                    body: body.strip_prefix(" | ").unwrap_or("").to_owned(),
                })
            }
            _ => None,
        }
    }

    fn of_server(server: String, text: &str) -> Option<Self> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "offers" => {
                let (kind, entries) = rest.split_once(' ')?;
                Some(Self::Offer {
                    server,
                    kind: kind.to_owned(),
                    entries: serde_json::from_str(entries).ok()?,
                })
            }
            "answers" => Some(Self::Answer {
                server,
                result: serde_json::from_str(rest).ok()?,
            }),
            "fails" => Some(Self::Fail {
                server,
                error: serde_json::from_str(rest).ok()?,
            }),
            "notifies" => {
                let (method, params) = method_and_params(rest)?;
                Some(Self::Tell {
                    server,
                    method,
                    params,
                })
            }
            "asks" => {
                let (method, params) = method_and_params(rest)?;
                Some(Self::Ask {
                    server,
                    method,
                    params,
                })
            }
            "wonders" => {
                let (method, params) = method_and_params(rest)?;
                Some(Self::Wonder {
                    server,
                    method,
                    params,
                })
            }
            "changes" => Some(Self::Change {
                server,
                kind: rest.to_owned(),
            }),
            "updates" => Some(Self::Update {
                server,
                uri: rest.to_owned(),
            }),
            "writes" => Some(Self::Write {
                server,
                text: rest.to_owned(),
            }),
            "hangs" if rest == "up" => Some(Self::HangUp { server }),
            "stalls" | "recovers" => Some(Self::Stall {
                server,
                is_stalled: verb == "stalls",
            }),
            "prefers" if rest == "its latest call" => Some(Self::Prefer { server }),
            "closes" => Some(Self::Close { server }),
            _ => None,
        }
    }
}

fn method_and_params(text: &str) -> Option<(String, Value)> {
    let (method, params) = text.split_once(' ').unwrap_or((text, "{}"));
    Some((method.to_owned(), serde_json::from_str(params).ok()?))
}

fn milliseconds(text: &str) -> Option<u64> {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().ok();
    }
    text.strip_suffix('s')?
        .parse::<u64>()
        .ok()?
        .checked_mul(1000)
}
