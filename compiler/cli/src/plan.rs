//! `mcpc plan`: the canonical bytes of a plan, and a summary of what is in it.

use std::fmt::Write;
use std::path::Path;

use mcpc_compiler::{Input, Outcome, Overrides, Source, Tier, compile};
use mcpc_daemon::is_standard;
use mcpc_plan::{Exposure, Fallback, Impact, Plan, Source as SecretSource, Transport};
use serde_json::{Value, json};

use crate::input::Unread;
use crate::report::Checked;
use crate::terminal::{Terminal, print, say};
use crate::variables::{Environment, unusable};
use crate::{Exit, args, export, input};

/// The version of the summary's JSON form.
const SUMMARY_FORMAT: u32 = 1;

/// Whatever keeps a plan from coming out is one exit code, as another one tells of changes.
pub(crate) fn run(arguments: &args::Plan, terminal: Terminal) -> Exit {
    match write(arguments, terminal) {
        Exit::Failed => Exit::Findings,
        exit => exit,
    }
}

fn write(arguments: &args::Plan, terminal: Terminal) -> Exit {
    let against = arguments.against.as_deref();
    if !input::is_read_once(
        [Some(arguments.file.as_path()), against]
            .into_iter()
            .flatten(),
    ) {
        return Exit::Failed;
    }
    let before = match against.map(input::read_plan).transpose() {
        Ok(before) => before,
        Err(refused) => {
            say(&refused);
            return Exit::Failed;
        }
    };
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(refusal) => return unusable(&refusal),
    };
    let (checked, compiled) = compile_file(&arguments.file, &environment, Overrides::default());
    say(&checked.for_people(terminal));
    let plan = match compiled {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let Ok(bytes) = plan.to_bytes() else {
        say("error: the plan has no canonical form; this is a fault of mcpc\n");
        return Exit::Failed;
    };
    say(&summary(&plan));
    let impact = before.as_ref().map(|before| Impact::between(before, &plan));
    if let Some(impact) = &impact {
        say(&impact_for_people(impact));
    }
    let out = arguments.out.as_deref();
    let out = out.filter(|out| !is_standard(out));
    if let Some(out) = out {
        let written = export::write_or_say(out, &bytes);
        if written != Exit::Clean {
            return written;
        }
        say(&format!("  written to {}\n", out.display()));
    }
    let printed = match (arguments.json, out) {
        (true, _) => print(format!("{:#}\n", summary_json(&plan, impact.as_ref())).as_bytes()),
        (false, None) => print(&bytes),
        (false, Some(_)) => Exit::Clean,
    };
    let is_same = before.is_none_or(|before| plan.does_the_same_as(&before));
    match printed {
        Exit::Clean if !is_same => Exit::Changed,
        printed => printed,
    }
}

/// Compiles one file with everything that the environment gives.
pub(crate) fn compile_file(
    file: &Path,
    environment: &Environment,
    overrides: Overrides,
) -> (Checked, Result<Plan, Exit>) {
    compile_read(input::read(file), environment, overrides)
}

/// Compiles what was read, or tells why it could not be.
pub(crate) fn compile_read(
    read: Result<Source, Unread>,
    environment: &Environment,
    overrides: Overrides,
) -> (Checked, Result<Plan, Exit>) {
    match read {
        Ok(source) => compile_text(source, environment, overrides),
        Err(unread) => {
            let exit = match unread {
                Unread::NoText(_) => Exit::Failed,
                Unread::BadText(_) => Exit::Findings,
            };
            (Checked::from(&unread), Err(exit))
        }
    }
}

/// Compiles one text. What was found comes with the plan as well: it may hold warnings.
fn compile_text(
    source: Source,
    environment: &Environment,
    overrides: Overrides,
) -> (Checked, Result<Plan, Exit>) {
    let Outcome { plan, findings } = compile(&Input {
        source: &source,
        variables: environment,
        tier: Tier::Plan,
        overrides,
    });
    (Checked::new(source, findings), plan.ok_or(Exit::Findings))
}

/// The summary for people.
fn summary(plan: &Plan) -> String {
    let mut text = format!("plan {}\n", plan.digest);
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _infallible = text.write_fmt(args);
    };
    line(format_args!("  listens on {}\n", plan.listener.address));
    line(format_args!("  admin on   {}\n", plan.admin.address));
    for endpoint in &plan.endpoints {
        line(format_args!(
            "  endpoint {} at {}\n",
            endpoint.name, endpoint.path
        ));
        for member in &endpoint.members {
            let Some(upstream) = plan.upstream(member.upstream) else {
                continue;
            };
            let how = match &upstream.transport {
                Transport::Stdio(_) if upstream.private.is_some() => {
                    "a child process for each session".to_owned()
                }
                Transport::Stdio(_) => "a child process".to_owned(),
                Transport::Http(_) => "over HTTP".to_owned(),
                Transport::Replicated(replicated) => {
                    format!("over HTTP, {} replicas", replicated.replicas.len())
                }
            };
            line(format_args!("    {}: {how}", upstream.name));
            if !member.prefix.is_empty() {
                line(format_args!(", names begin with `{}`", member.prefix));
            }
            line(format_args!("\n"));
        }
    }
    match plan.fallback {
        Fallback::None => {}
        Fallback::LastGood => line(format_args!("  falls back to the last good plan\n")),
    }
    for secret in &plan.secrets {
        let need = if secret.required { "needs" } else { "may use" };
        let consumers = secret.consumers.join(", ");
        line(format_args!(
            "  {need} {} for {consumers}\n",
            origin(&secret.source)
        ));
    }
    text
}

/// The summary for programs.
fn summary_json(plan: &Plan, impact: Option<&Impact<'_>>) -> Value {
    let member = |member: &mcpc_plan::Member| {
        let name = plan
            .upstream(member.upstream)
            .map(|upstream| &upstream.name);
        json!({ "server": name, "prefix": member.prefix })
    };
    let endpoint = |endpoint: &mcpc_plan::Endpoint| {
        let servers: Vec<Value> = endpoint.members.iter().map(member).collect();
        json!({ "name": endpoint.name, "path": endpoint.path, "servers": servers })
    };
    let mut summary = json!({
        "format_version": SUMMARY_FORMAT,
        "plan_format": plan.format,
        "digest": plan.digest,
        "listen": plan.listener.address,
        "admin": plan.admin.address,
        "endpoints": plan.endpoints.iter().map(endpoint).collect::<Vec<Value>>(),
        "fallback": plan.fallback,
        "secrets": plan.secrets,
    });
    if let (Some(impact), Some(members)) = (impact, summary.as_object_mut()) {
        let impact = json!({
            "stays": impact.stays,
            "starts": impact.starts,
            "restarts": impact.restarts,
            "joins": impact.joins,
            "stops": impact.stops,
            "needs_restart": impact.needs_restart,
            "endpoints": impact.exposures.iter().map(exposure_json).collect::<Vec<Value>>(),
        });
        members.insert("impact".to_owned(), impact);
    }
    summary
}

fn exposure_json(exposure: &Exposure) -> Value {
    json!({
        "path": exposure.path,
        "newly": exposure.newly,
        "no_longer": exposure.no_longer,
        "elsewhere": exposure.elsewhere,
    })
}

/// What a reload would do, a line for each kind.
fn impact_for_people(impact: &Impact<'_>) -> String {
    let lists = [
        ("go on", &impact.stays),
        ("start", &impact.starts),
        ("start anew", &impact.restarts),
        ("join another", &impact.joins),
        ("stop", &impact.stops),
    ];
    let mut text = String::from("in place of the other plan\n");
    for (what, names) in lists {
        if !names.is_empty() {
            let _infallible = writeln!(text, "  {what}: {}", names.join(", "));
        }
    }
    for Exposure {
        path,
        newly,
        no_longer,
        elsewhere,
    } in &impact.exposures
    {
        let lists = [
            ("offers newly", newly),
            ("offers no longer", no_longer),
            ("has something else under", elsewhere),
        ];
        for (what, names) in lists {
            if !names.is_empty() {
                let _infallible = writeln!(text, "  {path} {what}: {}", names.join(", "));
            }
        }
    }
    if impact.needs_restart {
        text.push_str("  the gateway has to be restarted: an address differs (MCPC9606)\n");
    }
    text
}

fn origin(source: &SecretSource) -> String {
    match source {
        SecretSource::Variable(name) => format!("the variable {name}"),
        SecretSource::File(path) => format!("the file {path}"),
    }
}
