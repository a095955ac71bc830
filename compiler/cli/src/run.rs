//! `mcpc run`: compiles a configuration, serves it, and compiles it again when it changes.
//!
//! Owns making plans out of a configuration file again and again. What happens around that (logs,
//! signals, watching, swapping, stopping) is `mcpc-daemon`'s.

use std::path::{Path, PathBuf};

use mcpc_compiler::{Overrides, Source};
use mcpc_daemon::{
    Ended, LogFormat, Plans, Rejected, Stage, is_rereadable, open_reach, operate, start_log,
};
use mcpc_dataplane::Refusal;
use mcpc_plan::{Digest, Plan};
use tracing::warn;

use crate::report::Checked;
use crate::terminal::{Terminal, say};
use crate::variables::Environment;
use crate::{Exit, args, greeting, input, plan};

/// A configuration file that becomes a plan each time it is loaded.
struct ConfigFile {
    path: PathBuf,
    overrides: Overrides,
    terminal: Terminal,
    log_format: LogFormat,
    loaded: Option<Digest>,
    /// Standard input or a pipe, once it was read: it cannot be read again.
    kept: Option<Source>,
}

pub(crate) fn run(arguments: &args::Run, terminal: Terminal) -> Exit {
    let flags = &arguments.gateway;
    if flags.stdio && input::is_standard(&arguments.file) {
        say("mcpc: with --stdio the client is on standard input, so the configuration cannot be\n");
        return Exit::Failed;
    }
    start_log(flags, terminal.is_coloured());
    let reach = match Environment::read() {
        Ok(environment) => open_reach(environment.into_reach()),
        Err(unusable) => return unusable.tell(),
    };
    let mut config = ConfigFile {
        path: arguments.file.clone(),
        overrides: Overrides {
            listen: flags.listen,
            admin: flags.admin,
        },
        terminal,
        log_format: flags.log_format,
        loaded: None,
        kept: None,
    };
    let ended = operate(&mut config, flags, &reach, |gateway, plan| {
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

impl ConfigFile {
    fn compile(&mut self, environment: &Environment) -> (Checked, Result<Plan, Exit>) {
        if let Some(source) = &self.kept {
            return plan::compile_text(source.clone(), environment, self.overrides);
        }
        let read = input::read_bytes(&self.path);
        self.loaded = read.as_ref().ok().map(|bytes| Digest::of(bytes));
        let source = input::source(&self.path, read);
        let compiled = plan::compile_read(source, environment, self.overrides);
        if !self.is_rereadable() {
            self.kept = Some(compiled.0.source().clone());
        }
        compiled
    }

    fn is_rereadable(&self) -> bool {
        !input::is_standard(&self.path) && is_rereadable(&self.path)
    }

    fn warn(&self, checked: &Checked) {
        let findings = checked.for_people(self.terminal);
        match self.log_format {
            _ if findings.is_empty() => {}
            LogFormat::Human => say(&findings),
            LogFormat::Json => warn!(findings, "the configuration has warnings"),
        }
    }
}

impl Plans for ConfigFile {
    fn load(&mut self) -> Result<Plan, Rejected> {
        // Each time anew: the credentials file may have changed.
        let environment = Environment::read()
            .map_err(|unusable| Rejected::new(Stage::Unread, unusable.refusal()))?;
        let (checked, compiled) = self.compile(&environment);
        match compiled {
            Ok(plan) => {
                self.warn(&checked);
                Ok(plan)
            }
            Err(exit) => {
                let stage = match exit {
                    Exit::Failed => Stage::Unread,
                    Exit::Clean | Exit::Findings => Stage::Read,
                };
                let (code, reason) = checked.reason();
                Err(Rejected {
                    details: checked.for_people(self.terminal),
                    ..Rejected::new(stage, Refusal { code, reason })
                })
            }
        }
    }

    fn name(&self) -> String {
        input::name_of(&self.path)
    }

    fn file(&self) -> Option<&Path> {
        self.is_rereadable().then_some(self.path.as_path())
    }

    fn loaded(&self) -> Option<Digest> {
        self.loaded.clone()
    }

    fn present(&self) -> Option<Digest> {
        let read = input::read_bytes(&self.path);
        read.ok().map(|bytes| Digest::of(&bytes))
    }
}
