//! `mcpc status`: what a running gateway says about itself.

use std::fmt::Write;
use std::time::Duration;

use mcpc_dataplane::{
    BreakerState, BreakerStatus, CheckedStatus, DrainingReason, DrainingStatus, Live, Phase,
    ReplicaStatus, SessionServersStatus, Stage, Status, Taken, UpstreamState, UpstreamStatus,
};
use mcpc_plan::Era;

use crate::terminal::{print, say};
use crate::{Exit, args};
use mcpc_daemon::http;

/// How many ends of a server's processes are shown; the document has more.
const ENDS_SHOWN: usize = 3;

/// How long a gateway has to answer. Its admin listener has a thread of its own.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run(arguments: &args::Status) -> Exit {
    let reply = match http::get(arguments.admin, "/status", PATIENCE) {
        Ok(reply) if reply.status == 200 => reply,
        Ok(reply) => {
            say(&format!(
                "error: {} answers with {}; is it the admin address of a gateway?\n",
                arguments.admin, reply.status
            ));
            return Exit::Failed;
        }
        Err(error) => {
            say(&format!(
                "error: no gateway answers on {}: {error}\n",
                arguments.admin
            ));
            return Exit::Failed;
        }
    };
    let Ok(status) = serde_json::from_slice::<Status>(&reply.body) else {
        say(&format!(
            "error: {} does not answer with the status of a gateway\n",
            arguments.admin
        ));
        return Exit::Failed;
    };
    let text = if arguments.json {
        // As the gateway said it: a newer one may say more than this build knows.
        let mut text = reply.body.to_vec();
        text.push(b'\n');
        text
    } else {
        for_people(&status).into_bytes()
    };
    print(&text).max(verdict(&status))
}

/// Whether all is as it was configured: serving, nothing refused, no upstream down.
fn verdict(status: &Status) -> Exit {
    let is_down = |state| matches!(state, UpstreamState::Failing | UpstreamState::Down);
    let is_whole = status.phase == Phase::Serving
        && status.live.is_some()
        && status.refused.is_none()
        && !status.is_kept_badly()
        && status.troubles.is_empty()
        && !status
            .upstreams
            .iter()
            .any(|upstream| is_down(upstream.state));
    if is_whole {
        Exit::Clean
    } else {
        Exit::Findings
    }
}

fn for_people(status: &Status) -> String {
    let mut text = String::new();
    let mut write = |args: std::fmt::Arguments<'_>| {
        let _infallible = text.write_fmt(args);
    };
    write(format_args!(
        "mcpc {}, process {}, {} on {} for {} s, {} connections\n",
        status.version,
        status.pid,
        phase(status.phase),
        status.address,
        status.uptime_ms / 1000,
        status.connections,
    ));
    write(format_args!("{}", plans_for_people(status)));
    write(format_args!("{}", troubles_for_people(status)));
    for endpoint in &status.endpoints {
        write(format_args!(
            "endpoint {}: {}\n",
            endpoint.path,
            endpoint.servers.join(", ")
        ));
    }
    for upstream in &status.upstreams {
        write(format_args!(
            "upstream {}: {}",
            upstream.name,
            upstream.state.name()
        ));
        match upstream.era {
            Some(Era::Modern) => write(format_args!(", modern")),
            Some(Era::Legacy) => write(format_args!(", legacy")),
            Some(Era::Auto) | None => {}
        }
        if let Some(pid) = upstream.pid {
            write(format_args!(", process {pid}"));
        }
        if let Some(latency) = upstream.latency_ms {
            write(format_args!(", last answer in {latency} ms"));
        }
        if upstream.restarts > 0 {
            write(format_args!(", restarted {} times", upstream.restarts));
        }
        if upstream.ignored_lines > 0 {
            write(format_args!(", ignored lines {}", upstream.ignored_lines));
        }
        if let Some(error) = &upstream.last_error {
            write(format_args!(", last failure {error}"));
        }
        if let Some(retries) = upstream.retries.filter(|retries| retries.sent > 0) {
            write(format_args!(", sent {} calls again", retries.sent));
        }
        if let Some(breaker) = &upstream.breaker {
            write(format_args!("{}", breaker_for_people(breaker)));
        }
        let sessions = sessions_for_people(upstream.sessions);
        let health = health_for_people(upstream.health.as_ref());
        let ends = ends_for_people(upstream);
        write(format_args!("{sessions}{health}\n{ends}"));
        for replica in &upstream.replicas {
            write(format_args!("  {}\n", replica_for_people(replica)));
        }
    }
    for draining in &status.draining {
        write(format_args!("{}\n", draining_for_people(draining)));
    }
    text
}

/// A server that has left the plan.
fn draining_for_people(draining: &DrainingStatus) -> String {
    let DrainingStatus {
        name, since, until, ..
    } = draining;
    let reason = match draining.reason {
        DrainingReason::Requests => "requests from before may need it".to_owned(),
        DrainingReason::Calls => format!("{} calls under way", draining.in_flight),
        DrainingReason::Ending => "it is being ended".to_owned(),
    };
    format!("draining {name}: not in the plan since {since}, {reason}, gone by {until}")
}

/// The last ends of a server's processes, and when there is another one.
fn ends_for_people(upstream: &UpstreamStatus) -> String {
    let mut text = String::new();
    for end in upstream.ends.iter().take(ENDS_SHOWN) {
        let process = end.pid.map(|pid| format!(", process {pid}"));
        let process = process.unwrap_or_default();
        // Writing into a text does not fail.
        let _infallible = writeln!(text, "  {}{process}: {end} ({})", end.at, end.error);
    }
    if let Some(next) = upstream.next_start {
        let _infallible = writeln!(text, "  started again at {next}");
    }
    text
}

fn sessions_for_people(sessions: Option<SessionServersStatus>) -> String {
    let Some(SessionServersStatus {
        in_use,
        spares,
        at_most,
    }) = sessions
    else {
        return String::new();
    };
    let spare = match spares {
        0 => String::new(),
        spares => format!(" and {spares} spare"),
    };
    format!(", {in_use}{spare} of {at_most} for sessions")
}

/// What the gateway lacks, and what it gives up because of that.
fn troubles_for_people(status: &Status) -> String {
    let mut text = String::new();
    for trouble in &status.troubles {
        let _infallible = writeln!(
            text,
            "trouble  {} since {}, {} times: {} ({})",
            trouble.text, trouble.since, trouble.times, trouble.reason, trouble.code
        );
    }
    let gives_up = match status.pressure.stage {
        Stage::Nothing => return text,
        Stage::Connections => "idle connections are closed",
        Stage::Sessions => "no new session begins",
        Stage::Calls => "no new call is taken",
    };
    let percent = status.pressure.percent.iter();
    let percent: Vec<String> = percent
        .map(|(what, percent)| format!("{what} {percent}%"))
        .collect();
    let _infallible = writeln!(text, "pressure {gives_up}: {}", percent.join(", "));
    text
}

fn replica_for_people(replica: &ReplicaStatus) -> String {
    let backup = if replica.is_backup { "backup " } else { "" };
    let mut text = format!("{backup}{}: {}", replica.place, replica.state.name());
    if let Some(error) = &replica.last_error {
        text = format!("{text}, last failure {error}");
    }
    if let Some(breaker) = &replica.breaker {
        text += &breaker_for_people(breaker);
    }
    text + health_for_people(replica.health.as_ref())
}

/// Nothing of a server that answers, or that nobody asks.
fn health_for_people(checked: Option<&CheckedStatus>) -> &'static str {
    match checked {
        Some(checked) if !checked.healthy => ", unhealthy",
        Some(_) | None => "",
    }
}

/// Nothing of a breaker that has nothing to do.
fn breaker_for_people(breaker: &BreakerStatus) -> String {
    let until = breaker.until.map(|until| format!(" until {until}"));
    match breaker.state {
        BreakerState::Closed if breaker.openings == 0 => String::new(),
        BreakerState::Closed => format!(", breaker opened {} times", breaker.openings),
        BreakerState::Open => format!(", breaker open{}", until.unwrap_or_default()),
        BreakerState::HalfOpen => ", breaker half-open".to_owned(),
    }
}

/// The plans: the live one, the refused one, and those that can be gone back to.
fn plans_for_people(status: &Status) -> String {
    let mut text = String::new();
    let mut write = |args: std::fmt::Arguments<'_>| {
        let _infallible = text.write_fmt(args);
    };
    match &status.live {
        Some(live) => write(format_args!(
            "live     {} since {} from {}{}\n",
            live.digest.short(),
            live.since,
            live.source,
            taken(live)
        )),
        None => write(format_args!("live     no plan yet\n")),
    }
    if let Some(refused) = &status.refused {
        let digest = refused
            .digest
            .as_ref()
            .map_or("no plan", |digest| digest.short());
        write(format_args!(
            "refused  {digest} at {}: {} ({})\n",
            refused.at, refused.reason, refused.code
        ));
    }
    if let Some(until) = &status.probation {
        write(format_args!("probation until {until}\n"));
    }
    if let Some(kept) = &status.kept {
        let earlier = kept.plans.iter().skip(1).map(mcpc_plan::Digest::short);
        let earlier: Vec<&str> = earlier.collect();
        write(format_args!("kept in  {}", kept.directory));
        if !earlier.is_empty() {
            write(format_args!(
                ", before the live one: {}",
                earlier.join(", ")
            ));
        }
        if let Some(error) = &kept.error {
            write(format_args!("; it cannot be written: {error} (MCPC9613)"));
        }
        write(format_args!("\n"));
    }
    text
}

fn taken(live: &Live) -> &'static str {
    match live.taken {
        Taken::Loaded => "",
        Taken::RolledBack => ", rolled back: not what it holds now",
        Taken::LastGood => ", the last good plan: not what it holds now",
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Leaving => "leaving",
        Phase::Draining => "draining",
    }
}
