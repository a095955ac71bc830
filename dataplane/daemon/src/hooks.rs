//! `mcpcd healthcheck` and `mcpcd prestop`: what a container runtime runs beside the gateway.
//!
//! Owns the two commands. An image needs nothing else for its health check and its stop hook: no shell,
//! no curl, no sleep. Both ask the admin listener of a gateway on the same machine or in the same pod.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};

use crate::http;
use crate::{Window, address};

/// What is asked of the gateway beside this process.
#[derive(Debug, Subcommand)]
pub(crate) enum Hook {
    /// Ask a running gateway whether it is well: for the health check of a container.
    #[command(after_help = HEALTHCHECK)]
    Healthcheck {
        #[command(flatten)]
        gateway: Beside,

        /// What is asked.
        #[arg(long, value_enum, default_value_t, value_name = "PROBE")]
        probe: Probe,

        /// How long the gateway has to answer.
        #[arg(long, default_value = "2s", value_parser = Window::duration, value_name = "TIME")]
        timeout: Duration,
    },
    /// Send clients elsewhere, then wait: for the hook that runs before a container is stopped.
    #[command(after_help = PRESTOP)]
    Prestop {
        #[command(flatten)]
        gateway: Beside,

        /// How long who routes traffic has to notice. The gateway serves as before meanwhile.
        #[arg(long, default_value = "10s", value_parser = Window::duration, value_name = "TIME")]
        wait: Duration,
    },
}

/// Where the gateway is asked.
#[derive(Debug, Args)]
pub(crate) struct Beside {
    /// The admin address of the gateway. 0.0.0.0 and :: stand for this machine.
    #[arg(
        long,
        env = "MCPC_ADMIN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS",
        value_parser = address
    )]
    admin: SocketAddr,
}

/// What is asked of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Probe {
    /// Whether the process works (`/livez`).
    Live,
    /// Whether it has begun to serve (`/startupz`).
    Started,
    /// Whether clients can be sent here (`/readyz`).
    #[default]
    Ready,
}

const HEALTHCHECK: &str = "\
Examples:
  mcpcd healthcheck
  mcpcd healthcheck --probe live --timeout 1s
  HEALTHCHECK CMD [\"mcpcd\", \"healthcheck\"]       in a Dockerfile

Exit codes: 0 yes, 1 no or no answer, 2 wrong usage.";

const PRESTOP: &str = "\
Examples:
  mcpcd prestop --wait 15s
  preStop: { exec: { command: [mcpcd, prestop, --wait, 15s] } }       in a pod

From then on /readyz answers 503. The gateway stops when it gets SIGTERM, not before.

Exit codes: 0 the time is up, 1 no gateway takes the order, 2 wrong usage.";

/// How long a gateway has to take the order.
const PATIENCE: Duration = Duration::from_secs(5);

impl Hook {
    pub(crate) fn run(self) -> ExitCode {
        let outcome = match self {
            Self::Healthcheck {
                gateway,
                probe,
                timeout,
            } => gateway.probe(probe, timeout),
            Self::Prestop { gateway, wait } => gateway.prestop(wait),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("mcpcd: {why}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Beside {
    fn probe(&self, probe: Probe, patience: Duration) -> Result<(), String> {
        let path = match probe {
            Probe::Live => "/livez",
            Probe::Started => "/startupz",
            Probe::Ready => "/readyz",
        };
        let address = self.address();
        match http::get(address, path, patience) {
            Ok(page) if page.status == 200 => Ok(()),
            Ok(page) => Err(format!("{path} on {address} answers with {}", page.status)),
            Err(error) => Err(no_gateway(address, &error)),
        }
    }

    fn prestop(&self, wait: Duration) -> Result<(), String> {
        let began = Instant::now();
        let address = self.address();
        match http::post(address, "/leave", &[], String::new(), PATIENCE) {
            Ok(page) if page.status == 200 => {}
            Ok(page) => return Err(format!("/leave on {address} answers with {}", page.status)),
            Err(error) => return Err(no_gateway(address, &error)),
        }
        sleep(wait.saturating_sub(began.elapsed()));
        Ok(())
    }

    /// Where the gateway is reached that is bound to it.
    fn address(&self) -> SocketAddr {
        let ip = match self.admin.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.admin.port())
    }
}

fn no_gateway(address: SocketAddr, error: &std::io::Error) -> String {
    format!("no gateway answers on {address}: {error}")
}
