//! The registry of codes. Append-only: a code is never renumbered and never reused.
//!
//! The first digit names where the code comes from: 0 the tool itself, 1 parse, 2 expand, 3 shape,
//! 4 decode, 5 resolve, 6 check, 8 plan loading, 9 the data plane's own replies. Each code has a
//! page `docs/errors/CODE.md`, built into the binary for `mcpc explain`.

use crate::diagnostic::Code;

/// A code, its title and its page.
#[derive(Clone, Copy, Debug)]
pub struct CodeEntry {
    /// The code.
    pub code: Code,
    /// The title, as it stands in the index.
    pub title: &'static str,
    /// The page, in Markdown.
    pub page: &'static str,
}

/// The entry of a code.
pub fn code_entry(code: Code) -> Option<&'static CodeEntry> {
    CODES.iter().find(|entry| entry.code == code)
}

/// Declares each code once: number, title; the page is found by the number.
macro_rules! codes {
    ($($number:literal $title:literal)*) => {
        /// Every code there is, sorted.
        pub const CODES: &[CodeEntry] = &[$(CodeEntry {
            code: Code($number),
            title: $title,
            page: include_str!(concat!("../../docs/errors/MCPC", stringify!($number), ".md")),
        }),*];
    };
}

codes! {}
