//! Reads a configuration from a file or standard input.
//!
//! Owns what can go wrong before there is a text (`MCPC0001` to `MCPC0003`), told through the same
//! renderers as everything else. Never reads more than the compiler would take.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mcpc_compiler::{Code, Diagnostic, Rejected, Source, Span};

const MISSING: Code = Code(1);
const DIRECTORY: Code = Code(2);
const UNREADABLE: Code = Code(3);

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

/// Whether a file name stands for standard input, or for standard output.
pub(crate) fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// The name of a text in diagnostics and status: the path as it was given, but for characters that a
/// terminal would obey.
pub(crate) fn name_of(file: &Path) -> String {
    if is_standard(file) {
        return "<stdin>".to_owned();
    }
    let path = file.display().to_string();
    let mut name = String::with_capacity(path.len());
    for character in path.chars() {
        if character.is_control() {
            name.extend(character.escape_default());
        } else {
            name.push(character);
        }
    }
    name
}

/// Reads a file; `-` is standard input.
pub(crate) fn read(file: &Path) -> Result<Source, Unread> {
    source(file, read_bytes(file))
}

/// Makes a text of what was read.
pub(crate) fn source(file: &Path, read: io::Result<Vec<u8>>) -> Result<Source, Unread> {
    let name = name_of(file);
    match read {
        Ok(bytes) => Source::from_bytes(name, bytes).map_err(Unread::BadText),
        Err(error) => {
            let diagnostic = unreadable(&error);
            let source = Source::new(name, "");
            Err(Unread::NoText(Box::new(Rejected { source, diagnostic })))
        }
    }
}

/// One byte more than the limit is enough for the compiler to see that the text is too large.
pub(crate) fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    let limit = Source::BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if is_standard(file) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        let opened = File::open(file)?;
        if opened.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        opened.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
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
        // The system's own words: the kinds have no name for everything that can go wrong.
        _ => (
            UNREADABLE,
            format!("the file cannot be read: {error}"),
            "make the file readable for the user that runs `mcpc`",
        ),
    };
    Diagnostic::error(code, message, Span::default(), "").help(help)
}
