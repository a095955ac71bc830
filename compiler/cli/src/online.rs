//! `mcpc check --online`: asks the servers of a configuration and holds it to what they say.
//!
//! Owns the way from one to the other: the compiler judges before and after, and the data plane asks in
//! between. Says on a terminal how far it is, since servers take their time.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use mcpc_compiler::{
    Answer, Input, Listed, Offer, Outcome, Overrides, Silence, Tier, check_answers, compile,
};
use mcpc_daemon::{NotAsked, inquire, open_reach};
use mcpc_dataplane::{About, Heard};

use crate::report::Checked;
use crate::terminal::{say, told};
use crate::variables::{Environment, unusable};
use crate::{Exit, check, input};

/// Work that is done sooner needs no word on how far it is.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// Checks a file and, if there is no error in it, its servers.
///
/// # Errors
/// The servers could not be asked; it has been said why.
pub(crate) fn check_file(file: &Path, environment: &Environment) -> Result<(Checked, Exit), Exit> {
    let source = match input::read(file) {
        Ok(source) => source,
        Err(unread) => return Ok(check::unread(&unread)),
    };
    let input = Input {
        source: &source,
        variables: environment,
        tier: Tier::Environment,
        overrides: Overrides::default(),
    };
    let Outcome { plan, findings } = compile(&input);
    let Some(plan) = plan else {
        say(&format!(
            "{}: the servers were not asked, since there are errors\n",
            source.name()
        ));
        return Ok((Checked::new(source, findings), Exit::Clean));
    };
    let all = plan.upstreams.iter();
    let all = all.map(|upstream| upstream.keys().len()).sum();
    let mut progress = Progress::new(all);
    let mut answers = Vec::with_capacity(all);
    // Read anew, as a gateway does: what was read for the compiler stays with it.
    let reach = Environment::read().map_err(|refusal| unusable(&refusal))?;
    let asked = inquire(&plan, open_reach(reach.into_reach()), |heard| {
        answers.push(answer(heard));
        progress.show(answers.len());
    });
    progress.clear();
    match asked {
        Ok(()) => {}
        Err(NotAsked::Interrupted) => {
            say("mcpc: interrupted; what was started has been ended\n");
            return Err(Exit::Failed);
        }
        Err(NotAsked::Refused(refusal)) => {
            say(&told(&refusal));
            return Err(Exit::Failed);
        }
    }
    let findings = check_answers(&input, &answers);
    Ok((Checked::new(source, findings), Exit::Clean))
}

/// The same in the compiler's terms.
fn answer(heard: Heard) -> Answer {
    let listed = |list: mcpc_dataplane::Listed| Listed {
        names: list.names,
        is_cut: list.is_cut,
    };
    Answer {
        server: heard.server.into(),
        instance: heard.instance,
        said: match heard.said {
            Ok(offer) => Ok(Offer {
                tools: listed(offer.tools),
                prompts: listed(offer.prompts),
                resources: listed(offer.resources),
                templates: listed(offer.templates),
            }),
            Err(silence) => Err(Silence {
                list: match silence.about {
                    About::Itself => None,
                    About::List(list) => Some(list.to_owned()),
                },
                code: silence.code.to_owned(),
                reason: silence.reason,
            }),
        },
    }
}

/// A line on a terminal that says how many servers have answered.
struct Progress {
    all: usize,
    began: Instant,
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            all,
            began: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            is_shown: false,
        }
    }

    fn show(&mut self, answered: usize) {
        if self.is_terminal && self.began.elapsed() >= PROGRESS_AFTER {
            self.is_shown = true;
            say(&format!(
                "\r{answered} of {} servers have answered",
                self.all
            ));
        }
    }

    fn clear(&mut self) {
        if self.is_shown {
            say("\r\u{1b}[K");
        }
    }
}
