//! `mcpc run`: compiles a configuration, serves it, and compiles it again when it changes.
//!
//! Owns making plans out of a configuration file again and again. What happens around that (logs,
//! signals, watching, swapping, stopping) is `mcpc-daemon`'s.

use mcpc_compiler::Overrides;
use mcpc_daemon::{
    Content, Ended, LogFormat, Plans, Rejected, Stage, Unread, is_standard, open_reach, operate,
    start_log,
};
use mcpc_dataplane::Refusal;
use mcpc_plan::Plan;
use tracing::{error, warn};

use crate::apart::{self, Job};
use crate::report::Checked;
use crate::terminal::{Terminal, say, told};
use crate::variables::Environment;
use crate::{Exit, args, greeting, input};

/// A configuration that becomes a plan each time it is loaded.
struct ConfigFile {
    content: Content,
    overrides: Overrides,
    terminal: Terminal,
    log_format: LogFormat,
}

pub(crate) fn run(arguments: &args::Run, terminal: Terminal) -> Exit {
    let flags = &arguments.gateway;
    if flags.stdio && is_standard(&arguments.file) {
        say("mcpc: with --stdio the client is on standard input, so the configuration cannot be\n");
        return Exit::Failed;
    }
    start_log(flags, terminal.is_coloured());
    let reach = match Environment::read() {
        Ok(environment) => open_reach(environment.into_reach()),
        Err(refusal) => return refuse(&refusal, flags.log_format),
    };
    let content = match Content::of(&arguments.file, input::BYTES_MAX, &reach) {
        Ok(content) => content.or_directory(),
        Err(refusal) => return refuse(&refusal, flags.log_format),
    };
    let config = ConfigFile {
        content,
        overrides: Overrides {
            listen: flags.listen,
            admin: flags.admin,
        },
        terminal: match flags.log_format {
            LogFormat::Human => terminal,
            // In an event there is no colour.
            LogFormat::Json => Terminal::new(args::Color::Never),
        },
        log_format: flags.log_format,
    };
    let ended = operate(Box::new(config), flags, &reach, |gateway, plan| {
        // Whoever reads JSON has the same from the log, one event a line.
        if flags.log_format == LogFormat::Human
            && let (Some(address), Some(admin)) = (gateway.address(), gateway.admin_address())
        {
            greeting::greet(address, admin, plan);
        }
    });
    match ended {
        Ended::Stopped => Exit::Clean,
        Ended::Interrupted | Ended::NoPlan => Exit::Findings,
        Ended::NotStarted => Exit::Failed,
    }
}

/// Says why there is nothing to compile, where whoever reads the log finds it.
fn refuse(refusal: &Refusal, format: LogFormat) -> Exit {
    let Refusal { code, reason } = refusal;
    match format {
        LogFormat::Human => say(&told(refusal)),
        LogFormat::Json => error!(code, reason, "there is nothing to compile"),
    }
    Exit::Failed
}

impl ConfigFile {
    fn warn(&self, findings: &str) {
        match self.log_format {
            _ if findings.is_empty() => {}
            LogFormat::Human => say(findings),
            LogFormat::Json => warn!(findings, "the configuration has warnings"),
        }
    }

    /// Why there is nothing to compile.
    fn unread(&self, unread: Unread) -> Rejected {
        let checked = Checked::from(&input::no_texts(self.content.name(), unread));
        checked.rejected(Stage::Unread, self.terminal)
    }
}

impl Plans for ConfigFile {
    fn load(&mut self) -> Result<Plan, Rejected> {
        let texts = self.content.read();
        let compiled = apart::compile(Job {
            name: self.content.name(),
            texts: texts.map_err(|unread| self.unread(unread))?,
            overrides: self.overrides,
            terminal: self.terminal,
        })?;
        self.warn(&compiled.warnings);
        Ok(compiled.plan)
    }

    fn content(&self) -> &Content {
        &self.content
    }
}
