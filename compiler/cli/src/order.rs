//! `mcpc reload` and `mcpc rollback`: asks a running gateway for another plan, and tells what came of it.
//!
//! Owns the two commands. What a gateway does with such an order is `mcpc-daemon`'s.

use std::time::Duration;

use mcpc_dataplane::{Outcome, Verdict, Wish};

use crate::terminal::{print, say};
use crate::{Exit, args};
use mcpc_daemon::http;

/// A large configuration takes a while to be compiled, and servers that are new are prepared.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(arguments: &args::Order, wish: Wish) -> Exit {
    let path = match wish {
        Wish::Reload => "/reload",
        Wish::RollBack => "/rollback",
    };
    let reply = match http::post(arguments.admin, path, &[], String::new(), PATIENCE) {
        Ok(reply) => reply,
        Err(error) => {
            say(&format!(
                "error: no gateway answers on {}: {error}\n",
                arguments.admin
            ));
            return Exit::Failed;
        }
    };
    let Ok(outcome) = serde_json::from_slice::<Outcome>(&reply.body) else {
        say(&not_taken(arguments, reply.status, &reply.body));
        return Exit::Failed;
    };
    let exit = match outcome.verdict {
        Verdict::Live | Verdict::Unchanged => Exit::Clean,
        Verdict::Refused => Exit::Findings,
    };
    if arguments.json {
        let mut text = reply.body.to_vec();
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        return print(&text).max(exit);
    }
    print(for_people(&outcome).as_bytes()).max(exit)
}

fn for_people(outcome: &Outcome) -> String {
    let live = outcome.live.short();
    let verdict = match outcome.verdict {
        Verdict::Live => format!("live     {live}\n"),
        Verdict::Unchanged => format!("live     {live}, as before\n"),
        Verdict::Refused => format!("live     {live}, as before: nothing has changed\n"),
    };
    let verdict = verdict + &tried_again(&outcome.tried_again.join(", "));
    let Some(refused) = &outcome.refused else {
        return verdict;
    };
    let digest = refused.digest.as_ref();
    let digest = digest.map_or("no plan", |digest| digest.short());
    let (reason, code) = (&refused.reason, &refused.code);
    let word = match outcome.verdict {
        Verdict::Live | Verdict::Unchanged => "aside   ",
        Verdict::Refused => "refused ",
    };
    format!("{verdict}{word} {digest}: {reason} ({code})\n")
}

fn tried_again(servers: &str) -> String {
    match servers {
        "" => String::new(),
        servers => format!("again    {servers}: tried at once, since they were down\n"),
    }
}

/// The gateway says why it takes no orders, or it is no gateway.
fn not_taken(arguments: &args::Order, status: u16, body: &[u8]) -> String {
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let part = |name: &str| {
        let value = said.as_ref()?.get(name)?.as_str()?;
        Some(value.to_owned())
    };
    match (part("code"), part("message")) {
        (Some(code), Some(message)) => {
            format!("error[{code}]: {message}\n  = note: run `mcpc explain {code}`\n")
        }
        _ => format!(
            "error: {} answers with {status}; is it the admin address of a gateway?\n",
            arguments.admin
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_names_the_servers_that_it_tries_again() {
        let live = mcpc_plan::Digest::of(b"live");
        let mut outcome = Outcome {
            verdict: Verdict::Unchanged,
            live: live.clone(),
            refused: None,
            tried_again: Vec::new(),
        };
        let as_before = format!("live     {}, as before\n", live.short());
        assert_eq!(for_people(&outcome), as_before);
        outcome.tried_again = vec!["docs".into(), "files".into()];
        let again = "again    docs, files: tried at once, since they were down\n";
        assert_eq!(for_people(&outcome), as_before + again);
    }
}
