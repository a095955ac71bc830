//! `mcpc run`: compiles a configuration, serves it, and compiles it again when it changes.
//!
//! Owns making plans out of a configuration file again and again. What happens around that (logs,
//! signals, watching, swapping, stopping) is `mcpc-daemon`'s.

use std::path::{Path, PathBuf};

use mcpc_compiler::Overrides;
use mcpc_daemon::{Ended, Plans, Rejected, open_reach, operate, start_log};
use mcpc_dataplane::Refusal;
use mcpc_plan::Plan;

use crate::terminal::{Terminal, say};
use crate::variables::Environment;
use crate::{Exit, args, greeting, input, plan};

/// A configuration file that becomes a plan each time it is loaded.
struct ConfigFile {
    path: PathBuf,
    environment: Environment,
    overrides: Overrides,
    terminal: Terminal,
    /// Standard input can be read once only.
    is_watched: bool,
    /// How bad the last load was, for the exit code.
    exit: Exit,
}

pub(crate) fn run(arguments: &args::Run, terminal: Terminal) -> Exit {
    let flags = &arguments.gateway;
    start_log(flags, terminal.is_coloured());
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(exit) => return exit,
    };
    let reach = match Environment::read() {
        Ok(environment) => open_reach(environment.into_reach()),
        Err(exit) => return exit,
    };
    let mut config = ConfigFile {
        path: arguments.file.clone(),
        environment,
        overrides: Overrides {
            listen: flags.listen,
            admin: flags.admin,
        },
        terminal,
        is_watched: !input::is_standard(&arguments.file),
        exit: Exit::Clean,
    };
    let ended = operate(&mut config, flags, reach, |gateway, plan| {
        greeting::greet(gateway.address(), gateway.admin_address(), plan);
    });
    match ended {
        Ended::Stopped => Exit::Clean,
        Ended::Interrupted => Exit::Findings,
        Ended::NoPlan => config.exit,
        Ended::NotStarted => Exit::Failed,
    }
}

impl Plans for ConfigFile {
    fn load(&mut self) -> Result<Plan, Rejected> {
        let (checked, compiled) = plan::compile_file(&self.path, &self.environment, self.overrides);
        let findings = checked.for_people(self.terminal);
        match compiled {
            Ok(plan) => {
                say(&findings);
                Ok(plan)
            }
            Err(exit) => {
                self.exit = exit;
                let (code, reason) = checked.reason();
                Err(Rejected {
                    details: findings,
                    ..Rejected::new(Refusal { code, reason })
                })
            }
        }
    }

    fn name(&self) -> String {
        input::name_of(&self.path)
    }

    fn file(&self) -> Option<&Path> {
        self.is_watched.then_some(&self.path)
    }
}
