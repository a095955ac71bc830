//! `check`: what `mcpc check` takes for a large configuration.
//!
//! Owns: the generated configuration, the timed runs, and runs of their own for memory, because
//! reading `/proc` while the clock runs would cost what is measured.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::failure::Failure;
use crate::system;
use crate::table::{Table, median};

const TIMED_RUNS: usize = 10;
const MEMORY_RUNS: usize = 3;
const RUN_LIMIT: Duration = Duration::from_secs(30);

/// Which program and how large a configuration.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    mcpc: PathBuf,
    /// How many servers the configuration has.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    servers: u32,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::at("make a folder", &error))?;
    let file = folder.path().join("mcpc.yaml");
    let config = generate(options.servers);
    let written = std::fs::write(&file, &config);
    written.map_err(|error| Failure::at("write the configuration", &error))?;
    let mut times = Vec::new();
    for _ in 0..TIMED_RUNS {
        let begun = Instant::now();
        let child = spawn(&options.mcpc, &file)?;
        finish(child).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let mut peaks = Vec::new();
    for _ in 0..MEMORY_RUNS {
        peaks.push(peak(spawn(&options.mcpc, &file)?).await?);
    }
    let mut table = Table::new(&["mcpc check", "KiB of YAML", "median ms", "peak RSS MiB"]);
    table.row(vec![
        format!("{} servers", options.servers),
        (config.len() / 1024).to_string(),
        format!("{:.0}", median(&times)),
        format!("{:.0}", median(&peaks)),
    ]);
    table.print();
    Ok(())
}

/// Servers of both shapes with what people write about them; every tenth with more of it.
fn generate(servers: u32) -> String {
    let mut text = String::from("version: 1\nservers:\n");
    for number in 0..servers {
        let port = 10_000 + number % 50_000;
        let written = match number % 10 {
            0 => write!(
                text,
                "  server-{number}:\n    url: http://127.0.0.1:{port}/mcp\n    era: auto\n\
                 \x20   headers: {{ Authorization: \"Bearer $<TOKEN_{number}>\" }}\n\
                 \x20   timeouts: {{ connect: 2s, first_byte: 30s, idle: 60s, total: 5m }}\n\
                 \x20   tools:\n      allow: [get_*, list_*, search]\n      deny: [get_secret]\n\
                 \x20     rename: {{ get_issue: issue, search: find }}\n"
            ),
            1..=4 => write!(
                text,
                "  server-{number}:\n    command: mcp-server-{number}\n    args: [--root, /srv/{number}]\n\
                 \x20   env: {{ LOG_LEVEL: info }}\n"
            ),
            _ => writeln!(
                text,
                "  server-{number}: {{ url: \"http://127.0.0.1:{port}/mcp\", tools: {{ allow: [tool_*] }} }}"
            ),
        };
        // Writing into a String cannot fail.
        debug_assert!(written.is_ok());
    }
    text
}

fn spawn(program: &Path, file: &Path) -> Result<Child, Failure> {
    Command::new(program)
        .arg("check")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::at("start mcpc check", &error))
}

/// Waits for the end, which must be a clean verdict: a refused file would be measured for nothing.
async fn finish(child: Child) -> Result<(), Failure> {
    let ended = tokio::time::timeout(RUN_LIMIT, child.wait_with_output()).await;
    let ended = ended.map_err(|_| Failure::new("mcpc check does not end"))?;
    let ended = ended.map_err(|error| Failure::at("wait for mcpc check", &error))?;
    if ended.status.success() {
        return Ok(());
    }
    let talk = String::from_utf8_lossy(&ended.stderr);
    let talk: Vec<&str> = talk.lines().take(20).collect();
    Err(Failure::new(format!(
        "mcpc check ended with {}\n{}",
        ended.status,
        talk.join("\n")
    )))
}

/// The highest resident memory that was seen; the system keeps the maximum, so only what comes
/// after the last look is missed.
async fn peak(child: Child) -> Result<f64, Failure> {
    let process = child.id().unwrap_or(0);
    let finished = finish(child);
    tokio::pin!(finished);
    let mut highest: f64 = 0.0;
    loop {
        tokio::select! {
            outcome = &mut finished => return outcome.map(|()| highest),
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                highest = highest.max(system::peak_mib(process).unwrap_or(0.0));
            }
        }
    }
}
