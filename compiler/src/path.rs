//! The name of a place in a configuration: `servers.github.args[2]`.
//!
//! Owns the form of a path and how it is printed. Does not know where a path is in the text: the
//! [`Tree`](crate::tree::Tree) does. Passes name places by path, so config types stay free of spans.

use std::fmt;

use crate::diagnostic::plain_text;

/// One step down the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into the value of a key.
    Key(String),
    /// Into an item of a list, from 0.
    Index(usize),
}

/// A way from the root of a configuration to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The path of the whole configuration.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path that leads through these keys.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self(
            keys.into_iter()
                .map(|key| Step::Key(key.to_owned()))
                .collect(),
        )
    }

    /// One key further down.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// One list item further down.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// One step further down.
    #[must_use]
    pub fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The path made of these steps.
    pub(crate) const fn from_steps(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => formatter.write_str(&plain_text(key))?,
                Step::Key(key) => write!(formatter, ".{}", plain_text(key))?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_prints_keys_and_indices() {
        let path = Path::of(["servers", "github", "args"]).index(2);
        assert_eq!(path.to_string(), "servers.github.args[2]");
        assert!(path.is_within(&Path::of(["servers", "github"])));
        assert!(!path.is_within(&Path::of(["servers", "git"])));
        assert_eq!(
            Path::of(["a\nb\u{1b}"]).to_string(),
            "a\\nb\\u{1b}",
            "control characters never reach a terminal"
        );
    }
}
