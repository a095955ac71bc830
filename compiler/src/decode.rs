//! Turns the tree into the configuration types.
//!
//! Owns what a schema cannot say about one value (is this a URL, a duration, a pattern) and the
//! removal of what is broken, value by value, so that all the rest still reaches the later passes.
//! Does not look at how values relate: `resolve` and `check` do. The way from a node to a type is
//! in `decode/source.rs`.

mod source;

use std::collections::BTreeSet;

use mcpc_config::{Address, Config, Duration, Glob, Host, Percent, Rate, ScalarError, Size, Url};
use serde::Deserialize;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::expand::Unknown;
use crate::meaning::{Leaf, Meaning};
use crate::path::Path;
use crate::schema::{self, Kind, Schema};
use crate::shape::{Shaped, kind_code, situate};
use crate::source::Span;
use crate::tree::{Content, NodeId, Tree};

/// A configuration whose every value is sound by itself, and where all of it stands.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    /// The configuration, without what is broken.
    pub(crate) config: Config,
    /// Where everything stands. Lists no longer have the items that are broken.
    pub(crate) tree: Tree,
    /// Keys whose value was removed because of an error that is already reported, is missing, or
    /// is not known. A later pass says nothing about what lies there or depends on it.
    pub(crate) broken: BTreeSet<Path>,
    /// Lists of which items were removed.
    shortened: BTreeSet<Path>,
    /// Whether every value is known. If not, no plan can be made of it.
    pub(crate) is_complete: bool,
}

impl Decoded {
    /// Whether anything was removed at all.
    pub(crate) fn has_errors(&self) -> bool {
        !self.broken.is_empty() || !self.shortened.is_empty()
    }

    /// Whether a value was removed, or lies below one that was.
    pub(crate) fn is_broken(&self, path: &Path) -> bool {
        if self.broken.is_empty() {
            return false;
        }
        (1..=path.steps().len()).any(|length| {
            let above = path.steps().get(..length).unwrap_or_default();
            self.broken.contains(&Path::from_steps(above.to_vec()))
        })
    }

    /// Whether a value is not all of what was written: it was removed, or something below it was.
    pub(crate) fn is_partial(&self, path: &Path) -> bool {
        if !self.has_errors() {
            return false;
        }
        // What lies below a path follows it in the order of paths.
        let is_below = |paths: &BTreeSet<Path>| {
            let mut from = paths.range(path..);
            from.next().is_some_and(|next| next.is_within(path))
        };
        is_below(&self.broken) || is_below(&self.shortened) || self.is_broken(path)
    }
}

/// More findings than this are not told.
const FINDINGS_MAX: usize = 1000;

/// Decodes the tree; `None` if nothing sound is left.
pub(crate) fn decode(
    mut tree: Tree,
    meaning: &Meaning,
    unknown: &Unknown,
    shaped: Shaped,
    sink: &mut Sink,
) -> Option<Decoded> {
    let Shaped {
        broken, missing, ..
    } = shaped;
    let mut bad = broken;
    judge_leaves(&tree, &meaning.leaves, &mut bad, sink);
    let shortened = shorten(&mut tree, &bad);
    let removed = bad.iter().filter(|node| tree.entry_of(**node).is_some());
    let lacking = missing.iter();
    let broken = removed
        .map(|node| tree.path(*node))
        .chain(lacking.map(|(map, key)| tree.path(*map).key(key)))
        .collect();
    let reader = source::Reader {
        tree: &tree,
        broken: &bad,
        schema: schema::root(),
        node: tree.root().filter(|root| !bad.contains(root)),
    };
    reader.node?;
    let Ok(config) = Config::deserialize(reader) else {
        sink.report(not_decoded());
        return None;
    };
    Some(Decoded {
        config,
        tree,
        broken,
        shortened,
        is_complete: unknown.is_empty(),
    })
}

fn judge_leaves(tree: &Tree, leaves: &[Leaf], bad: &mut BTreeSet<NodeId>, sink: &mut Sink) {
    let mut told = BTreeSet::new();
    for leaf in leaves {
        if bad.contains(&leaf.node) {
            continue;
        }
        if let Some(diagnostic) = judge(tree, leaf) {
            bad.insert(leaf.node);
            if told.len() < FINDINGS_MAX && told.insert(diagnostic.primary.span) {
                sink.report(situate(tree, leaf.node, diagnostic));
            }
        }
    }
}

/// Takes broken items out of their lists, and hands back the paths of those lists.
fn shorten(tree: &mut Tree, bad: &BTreeSet<NodeId>) -> BTreeSet<Path> {
    let lists: BTreeSet<NodeId> = bad
        .iter()
        .filter_map(|node| tree.parent(*node))
        .filter(|parent| matches!(tree.content(*parent), Content::List(_)))
        .collect();
    for list in &lists {
        tree.retain(*list, |item| !bad.contains(&item));
    }
    // Only now: a list may lie in a list whose items have moved.
    lists.iter().map(|list| tree.path(*list)).collect()
}

/// What is wrong with one value, if anything.
fn judge(tree: &Tree, leaf: &Leaf) -> Option<Diagnostic> {
    match tree.content(leaf.node) {
        Content::Text(text) => {
            let code = kind_code(leaf.kind())?;
            let error = parse(leaf.kind(), text).err()?;
            let path = tree.path(leaf.node);
            let span = tree.span(Some(leaf.node));
            let message = format!("`{path}` is not {}", noun(leaf.kind()));
            let diagnostic = Diagnostic::error(code, message, span, error.0);
            let says_how = diagnostic.primary.text.contains("for example");
            Some(match examples(leaf).filter(|_| !says_how) {
                Some(examples) => diagnostic.help(format!("for example {examples}")),
                None => diagnostic,
            })
        }
        Content::Integer(number) => {
            let Schema::Integer(form) = leaf.schema else {
                return None;
            };
            (*number > form.type_max).then(|| {
                let limit = format!("must be at most {}", form.type_max);
                number_error(tree, leaf, codes::OUT_OF_RANGE, &limit, "out of range")
            })
        }
        // JSON Schema takes `1.0` for a whole number, and `shape` lets no other one through.
        Content::Float(number) => {
            let Schema::Integer(form) = leaf.schema else {
                return None;
            };
            whole(*number)
                .is_none_or(|number| number > form.type_max)
                .then(|| {
                    let limit = format!("must be at most {}", form.type_max);
                    number_error(tree, leaf, codes::OUT_OF_RANGE, &limit, "out of range")
                })
        }
        _ => None,
    }
}

/// A float that is a whole number, as that number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it has no fraction and is within the bounds"
)]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e18).then_some(number as i64)
}

fn number_error(
    tree: &Tree,
    leaf: &Leaf,
    code: crate::Code,
    text: &str,
    label: &str,
) -> Diagnostic {
    let message = format!("`{}` {text}", tree.path(leaf.node));
    Diagnostic::error(code, message, tree.span(Some(leaf.node)), label)
}

/// Reads a text as what it stands for.
fn parse(kind: Kind, text: &str) -> Result<(), ScalarError> {
    match kind {
        Kind::Duration => Duration::parse(text).map(drop),
        Kind::Size => Size::parse(text).map(drop),
        Kind::Rate => Rate::parse(text).map(drop),
        Kind::Percent => Percent::parse(text).map(drop),
        Kind::Address => Address::parse(text).map(drop),
        Kind::Url => Url::parse(text).map(drop),
        Kind::Glob => Glob::parse(text).map(drop),
        Kind::Host => Host::parse(text).map(drop),
        Kind::Plain | Kind::Secret => Ok(()),
    }
}

const fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Duration => "a duration",
        Kind::Size => "a size",
        Kind::Rate => "a rate",
        Kind::Percent => "a share",
        Kind::Address => "an address to listen on",
        Kind::Url => "a URL",
        Kind::Glob => "a pattern",
        Kind::Host => "a host name",
        Kind::Plain | Kind::Secret => "a text",
    }
}

/// Examples from the schema: `30s`, `5m`.
fn examples(leaf: &Leaf) -> Option<String> {
    let Schema::Text(form) = leaf.schema else {
        return None;
    };
    let quoted = form.examples.iter().map(|example| format!("`{example}`"));
    let quoted: Vec<String> = quoted.collect();
    (!quoted.is_empty()).then(|| quoted.join(", "))
}

fn not_decoded() -> Diagnostic {
    Diagnostic::error(
        codes::NOT_DECODED,
        "the configuration fits the schema and still cannot be decoded",
        Span::default(),
        "in this configuration",
    )
    .help("this is a mistake in mcpc; please report it, with the configuration and without its secrets")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::{Value, json};

    use super::*;
    use crate::{Code, Input, NoVariables, Overrides, Source, Tier};

    const WHOLE: &str = r#"
version: 1
listen: { address: "127.0.0.1:1", tls: { certificate: a, key: b }, hosts: [h], allow_anonymous: false }
admin: { address: "127.0.0.1:2", allow_anonymous: true }
servers:
  a:
    command: x
    args: [y]
    env: { A: b }
    cwd: /
    era: auto
    sharing: shared
    limits: { memory: 1MiB, open_files: 8, processes: 1 }
    sessions: { at_most: 1, idle: 1s }
    start: { timeout: 1s, when: lazy, spares: 1 }
    restart: { at_most: 1, within: 1h, backoff: { from: 1s, to: 2s } }
    timeouts: { connect: 1s, first_byte: 1s, idle: 1s, total: 1s }
    tools: { allow: [a], deny: [b], rename: { a: b } }
    prompts: { allow: [a] }
    resources: { allow: [a], deny: [] }
  b:
    url: http://h
    headers: { A: b }
    breaker: { failures: 1, within: 1s, open_for: 1s, open_for_at_most: 1s, replicas_at_most: 1% }
    health: { every: 1s, timeout: 1s, failures: 1, successes: 1 }
    retry: { attempts: 1, budget: 1% }
  c: { replicas: [{ url: "http://h", weight: 1, backup: true }], balance: sticky }
endpoints:
  main: { path: /a, servers: [a], prefix: "", instructions: i, budget: { tokens: 1 } }
identity:
  api_keys: [{ name: n, sha256: s, roles: [r] }]
  jwt: [{ issuer: "http://h", audience: "http://h", jwks: "http://h", roles: r }]
access: { rules: [{ allow: [r], deny: [r], tools: [a/b], annotations: { destructive: true }, when: w }] }
limits: { requests: [{ per: global, rate: 1/s, burst: 1 }], body: 1MiB, sessions: 1, session_servers: 1, starts: 1, grace: 1s }
fallback: last_good
pins: { on_change: block }
tests: [{ as: r, endpoint: main, call: a/b, expect: allowed }]
"#;

    /// The codes of the passes up to this one, and whether they could decode the text.
    fn front(text: &str) -> (Vec<Code>, bool) {
        let source = Source::new("t", text);
        let mut sink = Sink::default();
        let input = Input {
            source: &source,
            variables: &NoVariables,
            tier: Tier::Plan,
            overrides: Overrides::default(),
        };
        let Some(mut tree) = crate::parse::parse(&source, &mut sink) else {
            let found = sink.into_sorted();
            return (found.iter().map(|found| found.code).collect(), false);
        };
        let meaning = Meaning::of(&tree);
        let unknown = crate::expand::expand(&input, &mut tree, &meaning.leaves, &mut sink);
        let shaped = crate::shape::shape(&source, &tree, &meaning, &unknown, &mut sink).unwrap();
        let refused = shaped.refused.iter().flat_map(|section| &section.found);
        let refused: Vec<Code> = refused.map(|found| found.code).collect();
        let decoded = decode(tree, &meaning, &unknown, shaped, &mut sink).is_some();
        let found = sink.into_sorted();
        let codes = found.iter().map(|found| found.code);
        (codes.chain(refused).collect(), decoded)
    }

    /// Every pointer into a value.
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(object) => {
                for (key, below) in object {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    pointers(below, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(items) => {
                for (index, below) in items.iter().enumerate() {
                    pointers(below, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }

    fn mutants(whole: &Value) -> Vec<Value> {
        let values = [
            json!(null),
            json!(0),
            json!(-1),
            json!(5_000_000_000_u64),
            json!(1.0),
            json!(""),
            json!("x"),
            json!([]),
            json!({}),
            json!({ "x": "y" }),
        ];
        let mut places = Vec::new();
        pointers(whole, "", &mut places);
        let mut mutants = Vec::new();
        for place in &places {
            for value in &values {
                let mut mutant = whole.clone();
                *mutant.pointer_mut(place).unwrap() = value.clone();
                mutants.push(mutant);
            }
            let Some((above, key)) = place.rsplit_once('/') else {
                continue;
            };
            let mut mutant = whole.clone();
            if let Some(object) = mutant.pointer_mut(above).and_then(Value::as_object_mut) {
                let value = object.remove(key).unwrap();
                mutants.push(Value::clone(&mutant));
                let object = mutant.pointer_mut(above).and_then(Value::as_object_mut);
                object.unwrap().insert(format!("{key}x"), value);
                mutants.push(mutant);
            }
        }
        mutants
    }

    /// A document as the compiler hands it to the types: `1.0` is the whole number that JSON Schema takes it for.
    fn as_read(mut document: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match &mut document {
            Value::Number(number) => {
                if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
                    *number = whole.into();
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| *item = as_read(item.take())),
            Value::Object(map) => {
                let values = map.values_mut();
                values.for_each(|value| *value = as_read(value.take()));
            }
            _ => {}
        }
        document
    }

    #[test]
    fn schema_and_types_accept_the_same() {
        let (codes, decoded) = front(WHOLE);
        assert_eq!((codes, decoded), (Vec::new(), true));
        let tree = crate::parse::parse(&Source::new("t", WHOLE), &mut Sink::default()).unwrap();
        let whole = tree.json(tree.root().unwrap());
        let mutants = mutants(&whole);
        assert!(mutants.len() > 1000, "{}", mutants.len());
        // Types do not know ranges, lengths, forms and names, take null for absent, and read a map
        // from a list of its values.
        let stricter = |code: &Code| {
            (3005..=3008).contains(&code.0) || [codes::VERSION, codes::WRONG_TYPE].contains(code)
        };
        for mutant in mutants {
            let text = mutant.to_string();
            let (codes, decoded) = front(&text);
            assert!(decoded || !mutant.is_object(), "{codes:?} {text}");
            assert!(!codes.contains(&codes::NOT_DECODED), "{codes:?} {text}");
            let types_accept = serde_json::from_value::<Config>(as_read(mutant)).is_ok();
            let only_stricter = codes.iter().all(stricter);
            if codes.is_empty() {
                assert!(types_accept, "only the types refuse {text}");
            } else if types_accept {
                assert!(only_stricter, "only the schema refuses: {codes:?} {text}");
            }
        }
    }
}
