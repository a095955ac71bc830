//! What a test needs to hold the `shape` pass against a JSON Schema validator.
//!
//! Owns the verdict of the walk alone, without any other pass. Not part of the program: it is there
//! for tests, with the feature `oracle`.

use serde_json::Value;

use crate::diagnostic::{Severity, Sink};
use crate::expand::Unknown;
use crate::meaning::Meaning;
use crate::source::Source;
use crate::{parse, shape};

/// The text as JSON, and whether the walk takes it; nothing if it is not YAML that is read here.
pub fn shape_verdict(source: &Source) -> Option<(Value, bool)> {
    let mut sink = Sink::default();
    let tree = parse::parse(source, &mut sink)?;
    if sink.has_errors() {
        return None;
    }
    let meaning = Meaning::of(&tree);
    let shaped = shape::shape(source, &tree, &meaning, &Unknown::new(), &mut sink)?;
    let found = sink.into_sorted();
    let refused = shaped.refused.iter().flat_map(|section| &section.found);
    let mut found = found.iter().chain(refused);
    let is_taken = found.all(|found| found.severity != Severity::Error);
    Some((tree.json(tree.root()?), is_taken))
}
