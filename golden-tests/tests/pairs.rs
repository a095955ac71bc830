//! Two mistakes in one configuration: both are told as each is told alone, and nothing else is.
//!
//! Owns the draw of pairs over the valid cases of the compile corpus, with a fixed seed, and the
//! exceptions, which are all of one kind: a finding about how several values relate is not made if
//! one of them is in error itself. The mistakes are in `src/pairs.rs`. A syntax error of YAML ends
//! the reading of a text, so that there is none among them.

use std::collections::BTreeMap;

use mcpc_compiler::{Source, shape_verdict};
use mcpc_golden_tests::{
    Case, Change, Compiled, Finding, Values, are_apart, assert_none, changed, changes,
};
use serde_json::Value;

/// Pairs of each case.
const PAIRS: usize = 200;

/// Findings by code and message, and how often each is made.
type Found = BTreeMap<(u16, String), usize>;

/// A case and everything that is a mistake in it.
struct Subject {
    name: String,
    whole: Value,
    values: Option<Values>,
    before: Found,
    mistakes: Vec<(Change, Found)>,
}

impl Subject {
    /// A case that is valid.
    fn of(case: &Case) -> Option<Self> {
        let text = String::from_utf8(case.bytes()).ok()?;
        let (whole, _) = shape_verdict(&Source::new("mcpc.yaml", text))?;
        case.compiled().plan?;
        let values = case.values();
        let before = found(&whole, values.as_ref());
        let alone = changes(&whole).into_iter().map(|change| {
            let found = found(&changed(&whole, &change), values.as_ref());
            let new = minus(&found, &before);
            (change, new)
        });
        let mistakes = alone.filter(|(_, new)| !new.is_empty()).collect();
        Some(Self {
            name: case.name.clone(),
            whole,
            values,
            before,
            mistakes,
        })
    }

    /// What is wrong with what is said about two mistakes at once; nothing if they are not two.
    fn judge(&self, one: usize, other: usize) -> Option<Vec<Finding>> {
        let (one, other) = (self.mistakes.get(one)?, self.mistakes.get(other)?);
        if !are_apart(&one.0, &other.0) {
            return None;
        }
        let both = changed(&changed(&self.whole, &one.0), &other.0);
        let both = minus(&found(&both, self.values.as_ref()), &self.before);
        let pairs = [(one, other), (other, one)];
        let hidden = pairs.into_iter().flat_map(|(mistake, other)| {
            let silent = minus(&mistake.1, &both).into_keys();
            silent.filter(|(code, _)| !may_touch(*code, &other.0))
        });
        let hidden = hidden.map(|found| (found, "is hidden"));
        let more = minus(&minus(&both, &one.1), &other.1).into_keys();
        let more = more.filter(|(code, _)| {
            let may = |change: &Change| may_touch(*code, change);
            !(may(&one.0) && may(&other.0))
        });
        let more = more.map(|found| (found, "is new"));
        let say = |((code, message), fact): ((u16, String), &str)| {
            let fact = format!(
                "MCPC{code:04} {message}: {fact}\n  {:?}\n  {:?}",
                one.0, other.0
            );
            Finding::new(&self.name, fact)
        };
        Some(hidden.chain(more).map(say).collect())
    }
}

/// Whether a change can be at one of the values that a finding of this code relates.
fn may_touch(code: u16, change: &Change) -> bool {
    let path: Vec<&str> = change.node.split('/').skip(1).collect();
    let is_in = |sections: &[&str]| path.first().is_some_and(|first| sections.contains(first));
    match code {
        // Emptiness is about all entries of a map.
        3006 => path.len() <= 2,
        // Which servers and endpoints there are, and what they expose.
        5001..=5003 | 6002..=6007 | 6015 => is_in(&["servers", "endpoints"]),
        // The lists of one filter; the times of one server; where one credential goes; what needs another setting.
        6008..=6014 | 6033 | 6040 | 6043 | 6072 => is_in(&["servers"]),
        6032 => is_in(&["servers"]) && path.get(2).is_some_and(|key| *key == "url"),
        6060..=6063 => is_in(&["listen", "admin"]),
        _ => false,
    }
}

fn found(whole: &Value, values: Option<&Values>) -> Found {
    let text = serde_json::to_string_pretty(whole).unwrap_or_default();
    let compiled = Compiled::of("mcpc.yaml", text.into_bytes(), values);
    let mut found = Found::new();
    for diagnostic in compiled.diagnostics {
        let key = (diagnostic.code.0, diagnostic.message);
        *found.entry(key).or_default() += 1;
    }
    found
}

/// What is in one more often than in the other.
fn minus(one: &Found, other: &Found) -> Found {
    let counts = one.iter().map(|(key, count)| {
        let less = other.get(key).copied().unwrap_or_default();
        (key.clone(), count.saturating_sub(less))
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn neither_of_two_mistakes_hides_the_other() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound.max(1) as u64).unwrap_or_default()
    };
    let (mut pairs, mut findings) = (0, Vec::new());
    for subject in Case::all().iter().filter_map(Subject::of) {
        let count = subject.mistakes.len();
        for _ in 0..PAIRS {
            if let Some(found) = subject.judge(draw(count), draw(count)) {
                pairs += 1;
                findings.extend(found);
            }
        }
    }
    findings.truncate(10);
    assert_none(&findings);
    assert!(pairs > 4000, "{pairs}");
}
