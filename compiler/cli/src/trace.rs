//! `mcpc explain --tool`: where an exposed name goes, with the place of every rule that mattered.
//!
//! Owns the text. What the rules are is the compiler's to say.

use std::fmt::Write;
use std::path::Path;

use mcpc_compiler::{Derivation, Input, Overrides, Rule, Source, Tier, derive};

use crate::report::Checked;
use crate::terminal::{Terminal, print, say};
use crate::variables::{Environment, unusable};
use crate::{Exit, args, input};

pub(crate) fn run(tool: &str, explain: &args::Explain, terminal: Terminal) -> Exit {
    if explain.principal.is_some() {
        say(
            "error: no caller has a name yet, since `identity` and `access` are not run: leave out `--as`\n",
        );
        return Exit::Failed;
    }
    let file = explain.subject.as_deref().unwrap_or("mcpc.yaml");
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(refusal) => return unusable(&refusal),
    };
    let source = match input::read(Path::new(file)) {
        Ok(source) => source,
        Err(unread) => {
            say(&Checked::from(&unread).for_people(terminal));
            return Exit::Failed;
        }
    };
    let asked = Input {
        source: &source,
        variables: &environment,
        // A value that is not known here does not matter to every name.
        tier: Tier::Check,
        overrides: Overrides::default(),
    };
    let (derived, findings) = derive(&asked, tool, explain.endpoint.as_deref());
    let checked = Checked::new(source.clone(), findings);
    if checked.tally().errors > 0 {
        say(&checked.for_people(terminal));
        return Exit::Findings;
    }
    if derived.is_empty() {
        let asked = explain.endpoint.as_deref().unwrap_or_default();
        say(&format!(
            "error: no endpoint has the name or the path `{asked}`\n"
        ));
        return Exit::Failed;
    }
    let is_routed = derived.iter().any(|one| one.route.is_some());
    let texts = derived.iter().map(|one| text(tool, one, &source));
    let exit = if is_routed {
        Exit::Clean
    } else {
        Exit::Findings
    };
    print(texts.collect::<Vec<_>>().join("\n").as_bytes()).max(exit)
}

fn text(tool: &str, derived: &Derivation, source: &Source) -> String {
    let Derivation {
        endpoint,
        path,
        route,
        rules,
    } = derived;
    let place = format!("endpoint {endpoint} at {path}");
    let mut text = match route {
        Some(route) if route.is_known => format!(
            "{place}: `{tool}` goes to server `{}`, as `{}`\n",
            route.server, route.name
        ),
        Some(route) => format!(
            "{place}: `{tool}` goes to server `{}`, as `{}`, if it has that tool\n",
            route.server, route.name
        ),
        None => format!("{place}: `{tool}` is refused\n"),
    };
    for Rule { fact, place } in rules {
        let place = place.map_or_else(
            || "by default".to_owned(),
            |span| {
                let line = source.place(span.start).line;
                format!("{}:{line}", source.file_name(span.start))
            },
        );
        // Writing to a `String` cannot fail.
        let _infallible = writeln!(text, "  {place}: {fact}");
    }
    text
}
