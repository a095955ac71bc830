//! A text with a name, places in it, and the way from a byte to a file, a line and a column.
//!
//! Owns the checks that come before any reading: size, UTF-8 and control characters. The files of a
//! directory are one text here, one behind the other, so that a place is a number in every pass, and
//! only who shows it asks for the file. Does not open files: the command line does, and hands the bytes
//! to [`Source::from_bytes`] or [`Source::from_files`].

use crate::codes;
use crate::diagnostic::Diagnostic;

/// One configuration text. Invariant: the name is what diagnostics show, never an absolute path.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
    line_starts: Vec<u32>,
    /// The files of a directory in the order of their texts; none if the text is one file.
    files: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    name: String,
    text: Span,
}

/// A range of bytes in a [`Source`]. Invariant: `start <= end`, both on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// Bytes that are no configuration text, with a source that shows where.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What can be shown of the text.
    pub source: Source,
    /// Why it is refused.
    pub diagnostic: Diagnostic,
}

impl Source {
    /// The largest text that is read. A file need not be read beyond one byte more.
    pub const BYTES_MAX: usize = 16 << 20;

    /// Checks the size and the encoding of bytes.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Box<Rejected>> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(too_large(name.into()));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::new(name, text).without_controls(),
            Err(error) => Err(Box::new(not_utf8(name.into(), &error))),
        }
    }

    /// Checks the files of a directory, which make one text together; each with its name.
    pub fn from_files(
        name: impl Into<String>,
        files: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, Box<Rejected>> {
        let mut text = String::new();
        let mut parts = Vec::with_capacity(files.len());
        for (file, bytes) in files {
            let one = Self::from_bytes(file, bytes)?;
            if text.len() + one.text.len() >= Self::BYTES_MAX {
                return Err(too_large(name.into()));
            }
            let start = text.len();
            text.push_str(&one.text);
            parts.push(File {
                name: one.name,
                text: Span::new(start, text.len()),
            });
            // Even the end of a file is on no line of the next one.
            text.push('\n');
        }
        let mut source = Self::new(name, text);
        source.files = parts;
        Ok(source)
    }

    /// Refuses characters that YAML does not allow and terminals obey.
    fn without_controls(self) -> Result<Self, Box<Rejected>> {
        let is_control =
            |byte: u8| (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f;
        let Some(at) = self.text.bytes().position(is_control) else {
            return Ok(self);
        };
        let byte = self.text.as_bytes().get(at).copied().unwrap_or_default();
        let diagnostic = Diagnostic::error(
            codes::CONTROL_CHARACTER,
            format!("the text contains the control character U+{byte:04X}"),
            Span::new(at, at + 1),
            "this character cannot be part of a configuration",
        )
        .help(format!(
            "remove it, or write it as `\"\\x{byte:02x}\"` inside double quotes"
        ));
        let source = self;
        Err(Box::new(Rejected { source, diagnostic }))
    }

    /// A text under the name that diagnostics show.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(index, _)| u32::try_from(index + 1).unwrap_or(u32::MAX));
        let line_starts = std::iter::once(0).chain(breaks).collect();
        Self {
            name: name.into(),
            text,
            line_starts,
            files: Vec::new(),
        }
    }

    /// The name of the whole: of the file, or of the directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the file that a byte is in, which is what diagnostics show.
    pub fn file_name(&self, byte: usize) -> &str {
        self.file(byte).map_or(&self.name, |file| &file.name)
    }

    /// The byte counted from the start of the file that it is in.
    pub fn in_file(&self, byte: usize) -> usize {
        byte - self.file_start(byte).min(byte)
    }

    /// Where the file that a byte is in starts.
    pub(crate) fn file_start(&self, byte: usize) -> usize {
        self.file(byte).map_or(0, |file| file.text.start)
    }

    /// The text of each file.
    pub(crate) fn files(&self) -> Vec<Span> {
        if self.files.is_empty() {
            return vec![Span::new(0, self.text.len())];
        }
        self.files.iter().map(|file| file.text).collect()
    }

    fn file(&self, byte: usize) -> Option<&File> {
        let after = self.files.partition_point(|file| file.text.start <= byte);
        self.files.get(after.checked_sub(1)?)
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty if it lies outside or cuts a character.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// A line by its number from 1, without its break; empty if there is no such line.
    pub(crate) fn line(&self, line: usize) -> Span {
        let start = self.line_start(line).unwrap_or(self.text.len());
        let end = self.line_start(line + 1);
        let text = self.slice(Span::new(start, end.unwrap_or(self.text.len())));
        Span::new(start, start + text.trim_end_matches(['\n', '\r']).len())
    }

    fn line_start(&self, line: usize) -> Option<usize> {
        let start = self.line_starts.get(line.checked_sub(1)?)?;
        Some(*start as usize)
    }

    /// The number of the line that a byte is on, in the whole text.
    pub(crate) fn line_of(&self, byte: usize) -> usize {
        self.line_starts
            .partition_point(|start| *start as usize <= byte)
    }

    /// The line and column of a byte in its file.
    pub fn place(&self, byte: usize) -> Place {
        let line = self.line_of(byte);
        let first = self.line_of(self.file_start(byte));
        let start = self.line_start(line).unwrap_or(0);
        let before = self
            .text
            .get(start..byte.min(self.text.len()))
            .unwrap_or_default()
            .trim_start_matches('\u{feff}');
        Place {
            line: line + 1 - first,
            column: before.chars().count() + 1,
        }
    }
}

fn too_large(name: String) -> Box<Rejected> {
    let diagnostic = Diagnostic::error(
        codes::TOO_LARGE,
        "the text is larger than 16 MiB",
        Span::default(),
        "",
    )
    .help("make it smaller, or name another file");
    let source = Source::new(name, "");
    Box::new(Rejected { source, diagnostic })
}

/// Shows as much of the bytes as is text.
fn not_utf8(name: String, error: &std::string::FromUtf8Error) -> Rejected {
    let at = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let text = String::from_utf8_lossy(bytes).into_owned();
    let byte = bytes.get(at).copied().unwrap_or_default();
    let diagnostic = Diagnostic::error(
        codes::NOT_UTF8,
        "the text is not valid UTF-8",
        Span::new(at, at + '\u{fffd}'.len_utf8()),
        format!("byte {at} is 0x{byte:02x}, which is no part of a character here"),
    );
    let diagnostic = if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        diagnostic.help("the file is UTF-16; save it as UTF-8")
    } else {
        diagnostic.help("save the file as UTF-8")
    };
    let source = Source::new(name, text);
    Rejected { source, diagnostic }
}

impl Span {
    /// A span from its ends.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}
