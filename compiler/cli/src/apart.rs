//! Compiles in a process of its own, so that a gateway neither keeps the compiler's code and memory nor
//! ends with it.
//!
//! ```text
//! gateway: Job ─stdin─► this program again: compile ─stdout─► Verdict, plan ─► gateway: verified Plan
//! ```
//!
//! Owns both ends and what goes between them: one line of JSON, then bytes as they are. What a plan is
//! made of is read by the gateway, which watches it; variables are read over there, each time anew. See
//! `docs/decisions/0044-compiled-apart.md`.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mcpc_compiler::Overrides;
use mcpc_daemon::{Rejected, Stage, Texts, this_executable};
use mcpc_dataplane::{Refusal, dies_with};
use mcpc_plan::{Fallback, Plan};
use serde::{Deserialize, Serialize};

use crate::report::code_named;
use crate::terminal::Terminal;
use crate::variables::Environment;
use crate::{Exit, args, input, plan};

/// The hidden first argument. The second one is the id of the gateway.
const ENTRY: &str = "__compile";

/// The largest configuration takes a second or two.
const TIME_LIMIT: Duration = Duration::from_secs(30);

const UNFINISHED: &str = "MCPC0008";

/// What is to be compiled.
pub(crate) struct Job {
    /// What the texts are called as a whole.
    pub(crate) name: String,
    pub(crate) texts: Texts,
    pub(crate) overrides: Overrides,
    /// How findings are to look.
    pub(crate) terminal: Terminal,
}

/// A plan, and what people are to know although there is one.
pub(crate) struct Compiled {
    pub(crate) plan: Plan,
    pub(crate) warnings: String,
}

/// The line in front of the texts.
#[derive(Serialize, Deserialize)]
struct Order {
    name: String,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    is_coloured: bool,
    /// Whether the parts are the files of a directory.
    is_directory: bool,
    parts: Vec<Part>,
}

/// A text that follows, by its length.
#[derive(Serialize, Deserialize)]
struct Part {
    name: String,
    bytes: usize,
}

/// The line in front of the plan, if there is one.
#[derive(Serialize, Deserialize)]
enum Verdict {
    Accepted {
        warnings: String,
    },
    Rejected {
        is_unread: bool,
        code: String,
        reason: String,
        details: String,
        /// What it says of the last good plan, as far as that could be read.
        fallback: Option<Fallback>,
    },
}

/// Compiles in another process; in this one if the system starts none.
///
/// # Errors
/// There is no plan. That the other process came to no end is one reason.
pub(crate) fn compile(job: Job) -> Result<Compiled, Rejected> {
    let started = this_executable().and_then(|program| {
        let mut command = Command::new(program);
        command.arg(ENTRY).arg(std::process::id().to_string());
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).spawn().ok()
    });
    let Some(child) = started else {
        return compile_here(job);
    };
    let (verdict, bytes) = ask(child, job, TIME_LIMIT).map_err(|reason| unfinished(&reason))?;
    let warnings = verdict.into_warnings()?;
    let plan = Plan::from_bytes(&bytes).map_err(|error| unfinished(&error.to_string()))?;
    Ok(Compiled { plan, warnings })
}

fn unfinished(reason: &str) -> Rejected {
    let refusal = Refusal {
        code: UNFINISHED,
        reason: format!("the configuration was not compiled: {reason}"),
    };
    Rejected::new(Stage::Unread, refusal)
}

/// Waits for what the process says, in time, and for its end.
fn ask(mut child: Child, job: Job, limit: Duration) -> Result<(Verdict, Vec<u8>), String> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("it has no pipes".to_owned());
    };
    let (answered, answer) = mpsc::channel();
    // A thread of its own, since neither end of a pipe has a deadline. It ends with the process.
    let talk = thread::Builder::new().spawn(move || {
        let said = job.write_to(&mut stdin).and_then(|()| {
            drop(stdin);
            Verdict::read_from(stdout)
        });
        let _nobody_waits = answered.send(said);
    });
    let said = match talk {
        Ok(_detached) => answer.recv_timeout(limit),
        Err(error) => Ok(Err(error)),
    };
    if !matches!(said, Ok(Ok(_))) {
        let _ended_already = child.kill();
    }
    let ended = child.wait();
    match (said, ended) {
        (Ok(Ok(answer)), _) => Ok(answer),
        (Err(_), _) => Err(format!("no end within {} seconds", limit.as_secs())),
        (Ok(Err(_)), Ok(status)) if !status.success() => {
            Err(format!("the compiler ended with {status}"))
        }
        (Ok(Err(error)), _) => Err(error.to_string()),
    }
}

/// Compiles what standard input holds, if the arguments of this process say so. Ends with the gateway, also when
/// it hangs: nobody is left who would end it.
pub(crate) fn entry(mut arguments: impl Iterator<Item = OsString>) -> Option<Exit> {
    let _executable = arguments.next();
    if arguments.next().as_deref() != Some(OsStr::new(ENTRY)) {
        return None;
    }
    let gateway = arguments
        .next()
        .and_then(|text| text.to_str()?.parse().ok());
    if !gateway.is_some_and(dies_with) {
        return Some(Exit::Failed);
    }
    let answered = Job::read_from(BufReader::new(io::stdin().lock())).and_then(|job| {
        let (verdict, plan) = Verdict::of(compile_here(job));
        verdict.write_to(&mut io::stdout().lock(), &plan)
    });
    // Whoever started this process sees that nothing has come, and says so.
    Some(answered.map_or(Exit::Failed, |()| Exit::Clean))
}

fn compile_here(job: Job) -> Result<Compiled, Rejected> {
    let environment =
        Environment::read().map_err(|refusal| Rejected::new(Stage::Unread, refusal))?;
    let read = input::source_of(job.name, job.texts);
    let (checked, compiled) = plan::compile_read(read, &environment, job.overrides);
    match compiled {
        Ok(plan) => Ok(Compiled {
            plan,
            warnings: checked.for_people(job.terminal),
        }),
        Err(exit) => {
            let stage = match exit {
                Exit::Failed => Stage::Unread,
                Exit::Clean | Exit::Findings | Exit::Changed => Stage::Read,
            };
            Err(checked.rejected(stage, job.terminal))
        }
    }
}

impl Job {
    fn write_to(self, out: &mut impl Write) -> io::Result<()> {
        let is_directory = matches!(self.texts, Texts::Files(_));
        let texts = match self.texts {
            Texts::One(text) => vec![(String::new(), text)],
            Texts::Files(files) => files,
        };
        let part = |(name, text): &(String, Vec<u8>)| Part {
            name: name.clone(),
            bytes: text.len(),
        };
        let order = Order {
            name: self.name,
            listen: self.overrides.listen,
            admin: self.overrides.admin,
            is_coloured: self.terminal.is_coloured(),
            is_directory,
            parts: texts.iter().map(part).collect(),
        };
        write_line(out, &order)?;
        texts.iter().try_for_each(|(_, text)| out.write_all(text))
    }

    fn read_from(mut from: impl BufRead) -> io::Result<Self> {
        let order: Order = read_line(&mut from)?;
        let mut texts = Vec::with_capacity(order.parts.len());
        for part in order.parts {
            let mut text = vec![0; part.bytes];
            from.read_exact(&mut text)?;
            texts.push((part.name, text));
        }
        let texts = match texts.pop() {
            Some((_, text)) if !order.is_directory => Texts::One(text),
            last => Texts::Files(texts.into_iter().chain(last).collect()),
        };
        let color = if order.is_coloured {
            args::Color::Always
        } else {
            args::Color::Never
        };
        Ok(Self {
            name: order.name,
            texts,
            overrides: Overrides {
                listen: order.listen,
                admin: order.admin,
            },
            terminal: Terminal::new(color),
        })
    }
}

impl Verdict {
    /// What came of compiling, and the bytes of the plan.
    fn of(compiled: Result<Compiled, Rejected>) -> (Self, Vec<u8>) {
        let sealed = compiled.and_then(|Compiled { plan, warnings }| {
            let bytes = plan
                .to_bytes()
                .map_err(|error| unfinished(&error.to_string()))?;
            Ok((Self::Accepted { warnings }, bytes))
        });
        sealed.unwrap_or_else(|rejected| {
            let verdict = Self::Rejected {
                is_unread: rejected.stage == Stage::Unread,
                code: rejected.refusal.code.to_owned(),
                reason: rejected.refusal.reason,
                details: rejected.details,
                fallback: rejected.fallback,
            };
            (verdict, Vec::new())
        })
    }

    /// The warnings that come with a plan.
    fn into_warnings(self) -> Result<String, Rejected> {
        match self {
            Self::Accepted { warnings } => Ok(warnings),
            Self::Rejected {
                is_unread,
                code,
                reason,
                details,
                fallback,
            } => {
                let stage = if is_unread {
                    Stage::Unread
                } else {
                    Stage::Read
                };
                let code = code_named(&code).unwrap_or(UNFINISHED);
                Err(Rejected {
                    details,
                    fallback,
                    ..Rejected::new(stage, Refusal { code, reason })
                })
            }
        }
    }

    fn write_to(&self, out: &mut impl Write, plan: &[u8]) -> io::Result<()> {
        write_line(out, self)?;
        out.write_all(plan)?;
        out.flush()
    }

    /// Reads to the end before anything is judged: then the process is at its end as well, and how it
    /// ended is its own doing.
    fn read_from(from: impl Read) -> io::Result<(Self, Vec<u8>)> {
        let mut said = Vec::new();
        from.take(input::PLAN_BYTES_MAX).read_to_end(&mut said)?;
        let mut rest = said.as_slice();
        let verdict = read_line(&mut rest)?;
        Ok((verdict, rest.to_vec()))
    }
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)
}

fn read_line<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    from.take(input::PLAN_BYTES_MAX)
        .read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(all(test, unix))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step fails its test")]

    use super::*;

    fn job(texts: Texts) -> Job {
        Job {
            name: "mcpc.yaml".to_owned(),
            texts,
            overrides: Overrides {
                listen: Some(SocketAddr::from(([127, 0, 0, 1], 9000))),
                admin: None,
            },
            terminal: Terminal::new(args::Color::Never),
        }
    }

    /// What is said of a compiler that does this instead.
    fn said_of(script: &str, limit: Duration) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        // More than a pipe holds, so that it is not written before it is read.
        let texts = Texts::One(vec![b'#'; 1 << 20]);
        ask(child, job(texts), limit).err().unwrap()
    }

    #[test]
    fn texts_arrive_as_they_were_read() {
        let files = |files: &[(&str, &[u8])]| {
            let files = files.iter();
            Texts::Files(
                files
                    .map(|(name, text)| ((*name).to_owned(), text.to_vec()))
                    .collect(),
            )
        };
        for texts in [
            Texts::One(b"version: 1\n\xff\n".to_vec()),
            Texts::One(Vec::new()),
            files(&[("a.yaml", b"{}\n")]),
            files(&[("a.yaml", b""), ("b\n.yaml", b"x"), ("c.yaml", b"\n")]),
            files(&[]),
        ] {
            let mut sent = Vec::new();
            job(texts.clone()).write_to(&mut sent).unwrap();
            let got = Job::read_from(sent.as_slice()).unwrap();
            assert_eq!(format!("{:?}", got.texts), format!("{texts:?}"));
            assert_eq!(got.name, "mcpc.yaml");
            assert_eq!(got.overrides, job(texts).overrides);
        }
    }

    #[test]
    fn a_compiler_that_comes_to_no_end_is_told_and_ended() {
        let soon = Duration::from_millis(100);
        let late = Duration::from_secs(30);
        assert_eq!(said_of("exec sleep 100", soon), "no end within 0 seconds");
        assert_eq!(
            said_of("exit 3", late),
            "the compiler ended with exit status: 3"
        );
        assert_eq!(
            said_of("kill -9 $$", late),
            "the compiler ended with signal: 9 (SIGKILL)"
        );
        let garbage = said_of("cat > /dev/null; echo hello", late);
        assert!(garbage.contains("expected value"), "{garbage}");
    }
}
