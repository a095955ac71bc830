//! Why bytes are not a plan. Each variant has a code with a page in `docs/errors`.

use std::fmt;

/// Why bytes are not a whole plan of this format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// Not a JSON object with a `format`.
    NotJson,
    /// A format that this build does not read.
    Format {
        /// The format that the plan names.
        found: u32,
    },
    /// JSON, but not of the plan's shape.
    Shape {
        /// The line of the first deviation, from 1.
        line: usize,
        /// The column of the first deviation, from 1.
        column: usize,
    },
    /// The digest does not match the content.
    Digest,
    /// Something in the plan contradicts something else in it.
    Inconsistent {
        /// The rule that does not hold.
        rule: &'static str,
    },
    /// A number that is not an integer.
    NotCanonical,
}

impl PlanError {
    /// The code of the page that explains this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson => "MCPC8001",
            Self::Format { .. } => "MCPC8002",
            Self::Shape { .. } => "MCPC8003",
            Self::Digest => "MCPC8004",
            Self::Inconsistent { .. } => "MCPC8005",
            Self::NotCanonical => "MCPC8006",
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => formatter.write_str(
                "the plan is not a JSON object with a `format`; `mcpc plan --out FILE` makes one of a configuration",
            ),
            Self::Format { found } => {
                write!(
                    formatter,
                    "the plan has format {found}; this build reads format {}",
                    crate::FORMAT
                )
            }
            Self::Shape { line, column } => {
                write!(
                    formatter,
                    "the plan does not have the shape of its format, first at {line}:{column}"
                )
            }
            Self::Digest => formatter.write_str("the plan's digest does not match its content"),
            Self::Inconsistent { rule } => write!(formatter, "the plan contradicts itself: {rule}"),
            Self::NotCanonical => {
                formatter.write_str("the plan holds a number that is not an integer")
            }
        }
    }
}

impl std::error::Error for PlanError {}
