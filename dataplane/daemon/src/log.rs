//! Where log events go: lines for people to standard error, JSON to standard output.
//!
//! With `--stdio` standard output is the client's, and JSON goes to standard error as well.
//! Only events of our own crates are taken. Libraries below log headers and bodies at their lowest
//! levels, and those carry secrets. A log that cannot be written, on a full disk or into a pipe that
//! nobody reads any more, costs its lines and nothing else (`outlet`): status says that they are lost.

use std::fmt;
use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::outlet::{ERR, OUT, Outlet};
use crate::{GatewayFlags, LogFormat};

/// The crates whose events are logged.
const OURS: [&str; 4] = ["mcpc", "mcpcd", "mcpc_daemon", "mcpc_dataplane"];

/// Starts logging. The first call in a process counts; a later one changes nothing.
pub fn start_log(flags: &GatewayFlags, is_coloured: bool) {
    let level = LevelFilter::from(flags.log_level);
    let ours = Targets::new().with_targets(OURS.map(|name| (name, level)));
    let lines = Lines::of(flags);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || lines)
        .log_internal_errors(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match flags.log_format {
        LogFormat::Human => {
            let layer = layer.fmt_fields(OneLine).with_target(false);
            layer.with_ansi(is_coloured).boxed()
        }
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let _already_started = tracing_subscriber::registry()
        .with(lines.with_filter(ours))
        .try_init();
}

/// The fields of an event for people. Names of methods and the like come from outside: what would begin a
/// line, move the cursor or turn the text around is shown as an escape, so that one event is one line and
/// no other event can be feigned. JSON escapes by itself.
struct OneLine;

impl<'w> FormatFields<'w> for OneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        write_line(&mut writer, &text)
    }
}

fn write_line(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let is_shown = |letter: char| {
        let turns = matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        !(letter.is_control() || turns)
    };
    text.chars().try_for_each(|letter| {
        if is_shown(letter) {
            out.write_char(letter)
        } else {
            write!(out, "{}", letter.escape_default())
        }
    })
}

/// Where lines are written. That never fails, for nobody could be told.
#[derive(Clone, Copy)]
struct Lines(&'static Outlet);

impl Lines {
    fn of(flags: &GatewayFlags) -> Self {
        match flags.log_format {
            LogFormat::Json if !flags.stdio => Self(&OUT),
            LogFormat::Json | LogFormat::Human => Self(&ERR),
        }
    }
}

impl Write for Lines {
    /// Takes one line, as the layer above gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_one_line_whatever_it_tells() {
        let mut line = String::new();
        let forged = "method=a\n2026-01-01 ERROR b\u{1b}[31m\r\u{9b}\u{202e}\u{2028}é\t";
        let written = write_line(&mut line, forged);
        let escaped = r"method=a\n2026-01-01 ERROR b\u{1b}[31m\r\u{9b}\u{202e}\u{2028}é\t";
        assert_eq!((written, line.as_str()), (Ok(()), escaped));
    }
}
