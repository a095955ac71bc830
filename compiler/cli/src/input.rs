//! Reads a configuration or a plan from a file, a directory of files or standard input.
//!
//! Owns what can go wrong before there is a text (`MCPC0001` to `MCPC0007`), told through the same
//! renderers as everything else. Never reads more than the compiler would take.

use std::io;
use std::path::Path;

use mcpc_compiler::{Code, Diagnostic, Rejected, Source, Span};
use mcpc_daemon::{Texts, is_standard, name_of, read_at_most, read_file, read_texts};
use mcpc_dataplane::is_of_descriptors;
use mcpc_plan::Plan;

use crate::terminal::say;

const MISSING: Code = Code(1);
const DIRECTORY: Code = Code(2);
const UNREADABLE: Code = Code(3);
const URL_UNREADABLE: Code = Code(6);
const DIRECTORY_EMPTY: Code = Code(7);

/// The most bytes that the compiler takes.
pub(crate) const BYTES_MAX: u64 = Source::BYTES_MAX as u64;

/// The largest plan that is read, which is also the largest that a gateway takes.
pub(crate) const PLAN_BYTES_MAX: u64 = 256 << 20;

/// Why there is no text to compile.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It could not be read at all.
    NoText(Box<Rejected>),
    /// It was read, and is no configuration text whatever it says.
    BadText(Box<Rejected>),
}

impl Unread {
    /// What to show.
    pub(crate) fn rejected(&self) -> &Rejected {
        match self {
            Self::NoText(rejected) | Self::BadText(rejected) => rejected,
        }
    }
}

/// Reads a file, or the files of a directory; `-` is standard input.
pub(crate) fn read(file: &Path) -> Result<Source, Unread> {
    let name = name_of(file);
    let read = if is_standard(file) {
        let read = read_at_most(io::stdin().lock(), BYTES_MAX).map(Texts::One);
        read.map_err(|error| mcpc_daemon::Unread::File(name.clone(), error))
    } else {
        read_texts(file, BYTES_MAX)
    };
    match read {
        Ok(texts) => source_of(name, texts),
        Err(unread) => Err(no_texts(name, unread)),
    }
}

/// Makes one text of what was read under a name.
pub(crate) fn source_of(name: String, texts: Texts) -> Result<Source, Unread> {
    match texts {
        Texts::One(bytes) => Source::from_bytes(name, bytes).map_err(Unread::BadText),
        Texts::Files(files) => Source::from_files(name, files).map_err(Unread::BadText),
    }
}

/// Tells why nothing was read under a name.
pub(crate) fn no_texts(name: String, unread: mcpc_daemon::Unread) -> Unread {
    use mcpc_daemon::Unread as NotRead;
    match unread {
        NotRead::File(name, error) => no_text(name, unreadable(&error)),
        NotRead::Empty => no_text(name, empty()),
        NotRead::Url(reason) => no_text(name, unfetched(&reason)),
    }
}

/// Reads a plan; `-` is standard input.
///
/// # Errors
/// What to say on standard error.
pub(crate) fn read_plan(file: &Path) -> Result<Plan, String> {
    let told = |code: &str, reason: &str| {
        let name = name_of(file);
        format!("error[{code}]: {name}: {reason}\n  = note: run `mcpc explain {code}`\n")
    };
    let bytes = read_bytes(file, PLAN_BYTES_MAX).map_err(|error| {
        let unreadable = unreadable(&error);
        told(&unreadable.code.to_string(), &unreadable.message)
    })?;
    Plan::from_bytes(&bytes).map_err(|error| told(error.code(), &error.to_string()))
}

/// Standard input gives its text once: who names it twice would get nothing the second time.
pub(crate) fn is_read_once<'a>(files: impl IntoIterator<Item = &'a Path>) -> bool {
    let standard = files.into_iter().filter(|file| is_standard(file));
    let is_once = standard.count() < 2;
    if !is_once {
        say("error: `-` is given twice, and standard input can be read only once\n");
    }
    is_once
}

fn no_text(name: String, diagnostic: Diagnostic) -> Unread {
    let source = Source::new(name, "");
    Unread::NoText(Box::new(Rejected { source, diagnostic }))
}

/// One byte more than the limit is enough for the compiler to see that the text is too large.
fn read_bytes(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    if is_standard(file) {
        read_at_most(io::stdin().lock(), bytes_max)
    } else {
        read_file(file, bytes_max)
    }
}

fn unreadable(error: &io::Error) -> Diagnostic {
    let (code, message, help) = match error.kind() {
        io::ErrorKind::NotFound => (
            MISSING,
            "there is no such file".to_owned(),
            "give the path of a configuration, or `-` for standard input",
        ),
        io::ErrorKind::IsADirectory => (
            DIRECTORY,
            "this is a directory, not a file".to_owned(),
            "name the file in it, for example `mcpc.yaml`",
        ),
        io::ErrorKind::Unsupported => (
            UNREADABLE,
            format!("the file cannot be read: {error}"),
            "put a file in its place",
        ),
        _ if is_of_descriptors(error) => (
            UNREADABLE,
            format!("the file cannot be read: {error}"),
            "raise the limit of descriptors, `ulimit -n`",
        ),
        // The system's own words: the kinds have no name for everything that can go wrong.
        _ => (
            UNREADABLE,
            format!("the file cannot be read: {error}"),
            "make the file readable for the user that runs `mcpc`",
        ),
    };
    Diagnostic::error(code, message, Span::default(), "").help(help)
}

fn empty() -> Diagnostic {
    let message = "there is no configuration in the directory";
    Diagnostic::error(DIRECTORY_EMPTY, message, Span::default(), "")
        .help("put files into it whose names end in `.yaml` or `.yml` and start with no dot")
}

fn unfetched(reason: &str) -> Diagnostic {
    let message = format!("the URL cannot be read: {reason}");
    let diagnostic = Diagnostic::error(URL_UNREADABLE, message, Span::default(), "");
    diagnostic.help("ask for it with `curl`, as the user that runs `mcpc`")
}
