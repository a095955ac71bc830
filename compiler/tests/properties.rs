//! What must hold for every configuration that the compiler lets through: each exposed name has
//! one owner and finds its way back, and the plan survives its own bytes.
//!
//! Configurations are drawn from a small world of servers, prefixes and names in which collisions
//! are frequent; a fixed seed makes every run the same. And what must hold for every text at all:
//! it is compiled or refused, and each finding points inside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mcpc_compiler::{
    Code, Findings, Input, NoVariables, Outcome, Overrides, Severity, Source, Span, Tier, compile,
};
use mcpc_plan::{Endpoint, Member, Names, Plan};

const SERVERS: [&str; 5] = ["a", "a__b", "b", "ab", "b_"];
const NAMES: [&str; 10] = [
    "x", "y", "b__x", "x_y", "ab__x", "b", "get_x", "get_y", "_", "a__b__x",
];
const PATTERNS: [&str; 7] = ["*", "get_*", "*_x", "b*", "*y", "a__*", "x*y"];
const PREFIXES: [&str; 7] = ["", "{server}", "{server}_", "{server}__", "b", "x_", "a__"];

/// Keys of the configuration, and some that are none.
const KEYS: [&str; 20] = [
    "version",
    "servers",
    "endpoints",
    "listen",
    "admin",
    "limits",
    "command",
    "url",
    "args",
    "env",
    "headers",
    "tools",
    "allow",
    "deny",
    "rename",
    "timeouts",
    "total",
    "x-a",
    "<<",
    "é",
];
/// Values of every type, placeholders, and texts that are hard on whoever cuts them.
const VALUES: [&str; 24] = [
    "1",
    "-1",
    "1.5",
    "true",
    "~",
    "",
    "a",
    "é",
    "\"\u{1f600}\"",
    "'it''s'",
    "30s",
    "4MiB",
    "127.0.0.1:0",
    "http://h/",
    "https://u:p@h",
    "$<X>",
    "\"a$<X:-é>$\"",
    "${",
    "get_*",
    "*",
    "&a b",
    "*a",
    "99999999999999999999",
    "!t x",
];
/// What stands between them, well or badly.
const JOINTS: [&str; 12] = [
    ": ", ":", "\n", "\n  ", "\n    ", ", ", " # c\n", "- ", "|\n", "---\n", "\r\n", "\t",
];

/// A generator with a fixed seed (xorshift64*).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or_default() % bound.max(1)
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }

    fn some(&mut self, of: &[&str], most: usize) -> Vec<String> {
        let count = self.below(most + 1);
        (0..count)
            .map(|_| format!("\"{}\"", self.one(of)))
            .collect()
    }

    /// A tree of keys and values, mostly well formed, with anchors and merges in it.
    fn tree(&mut self, depth: usize, text: &mut String) {
        let anchor = if self.below(12) == 0 { "&a " } else { "" };
        text.push_str(anchor);
        match self.below(if depth == 0 { 1 } else { 4 }) {
            0 => text.push_str(self.one(&VALUES)),
            1 => {
                text.push('[');
                for _ in 0..self.below(4) {
                    self.tree(depth - 1, text);
                    text.push_str(", ");
                }
                text.push(']');
            }
            _ => {
                text.push('{');
                for _ in 0..self.below(5) {
                    text.push_str(self.one(&KEYS));
                    text.push_str(": ");
                    self.tree(depth - 1, text);
                    text.push_str(", ");
                }
                text.push('}');
            }
        }
    }

    /// Keys and values one under the other, joined in any way.
    fn heap(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.below(40) {
            let bit = match self.below(3) {
                0 => self.one(&KEYS),
                1 => self.one(&VALUES),
                _ => self.one(&JOINTS),
            };
            text.push_str(bit);
        }
        text
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = self.below(60);
        let byte = |draw: &mut Self| u8::try_from(draw.below(256)).unwrap_or_default();
        (0..count).map(|_| byte(self)).collect()
    }

    fn filter(&mut self) -> String {
        let mut parts = Vec::new();
        if self.below(3) > 0 {
            let mut allow = self.some(&NAMES, 4);
            allow.extend(self.some(&PATTERNS, 1));
            parts.push(format!("allow: [{}]", allow.join(", ")));
        }
        if self.below(3) == 0 {
            let mut deny = self.some(&NAMES, 2);
            deny.extend(self.some(&PATTERNS, 1));
            parts.push(format!("deny: [{}]", deny.join(", ")));
        }
        if self.below(3) == 0 {
            let renames: BTreeMap<&str, &str> = (0..=self.below(2))
                .map(|_| (self.one(&NAMES), self.one(&NAMES)))
                .collect();
            let renames = renames
                .iter()
                .map(|(from, to)| format!("\"{from}\": \"{to}\""));
            let renames: Vec<_> = renames.collect();
            parts.push(format!("rename: {{ {} }}", renames.join(", ")));
        }
        format!("{{ {} }}", parts.join(", "))
    }

    fn configuration(&mut self) -> String {
        let mut text = "version: 1\nservers:\n".to_owned();
        let mut servers: Vec<&str> = (0..=self.below(3)).map(|_| self.one(&SERVERS)).collect();
        servers.sort_unstable();
        servers.dedup();
        for server in &servers {
            let (tools, prompts) = (self.filter(), self.filter());
            let _ = writeln!(
                text,
                "  {server}: {{ command: c, tools: {tools}, prompts: {prompts} }}"
            );
        }
        if self.below(3) > 0 {
            let prefix = self.one(&PREFIXES);
            let _ = write!(
                text,
                "endpoints:\n  main: {{ path: /mcp, prefix: \"{prefix}\" }}\n"
            );
        }
        text
    }
}

fn compiled(text: &str) -> Outcome {
    compile(&Input {
        source: &Source::new("mcpc.yaml", text),
        variables: &NoVariables,
        tier: Tier::Plan,
        overrides: Overrides::default(),
    })
}

/// Every name of the world that any member exposes leads back to that member and that name.
fn assert_one_owner(
    endpoint: &Endpoint,
    names: impl Fn(&Member) -> &Names,
    find: impl Fn(&str) -> Option<(usize, String)>,
    text: &str,
) -> usize {
    let mut owners: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for (index, member) in endpoint.members.iter().enumerate() {
        for name in NAMES {
            let Some(exposed) = names(member).expose(&member.prefix, name) else {
                continue;
            };
            let other = owners.insert(exposed.to_string(), (index, name));
            assert_eq!(other, None, "{exposed} has two owners\n{text}");
            assert_eq!(
                find(&exposed),
                Some((index, name.to_owned())),
                "{exposed} does not lead back\n{text}"
            );
        }
    }
    // And nothing is found that nobody exposes.
    for exposed in NAMES {
        if let Some((index, name)) = find(exposed) {
            let member = endpoint.members.get(index);
            let back = member.and_then(|member| names(member).expose(&member.prefix, &name));
            assert_eq!(back.as_deref(), Some(exposed), "found, not exposed\n{text}");
        }
    }
    owners.len()
}

#[test]
fn every_exposed_name_has_one_owner_and_leads_back() {
    let mut draw = Draw(0x6d63_7063);
    let (mut plans, mut names, mut refused) = (0, 0, BTreeMap::<Code, usize>::new());
    for _ in 0..700 {
        let text = draw.configuration();
        let outcome = compiled(&text);
        let Some(plan) = outcome.plan else {
            assert!(!outcome.findings.diagnostics.is_empty(), "{text}");
            for diagnostic in outcome.findings.diagnostics {
                *refused.entry(diagnostic.code).or_default() += 1;
            }
            continue;
        };
        assert_eq!(plan.verify(), Ok(()), "{text}");
        let bytes = plan.to_bytes();
        let read = bytes.as_deref().map(Plan::from_bytes);
        assert_eq!(read, Ok(Ok(plan.clone())), "{text}");
        for endpoint in &plan.endpoints {
            let tool = |exposed: &str| {
                let found = endpoint.find_tool(exposed)?;
                Some((found.member.index(), found.name.to_owned()))
            };
            let prompt = |exposed: &str| {
                let found = endpoint.find_prompt(exposed)?;
                Some((found.member.index(), found.name.to_owned()))
            };
            names += assert_one_owner(endpoint, |member| &member.tools, tool, &text);
            names += assert_one_owner(endpoint, |member| &member.prompts, prompt, &text);
        }
        plans += 1;
    }
    assert!(plans > 50 && names > 300, "{plans} plans, {names} names");
    for code in [6002, 6003, 6004, 6009, 6011, 6013] {
        assert!(
            refused.contains_key(&Code(code)),
            "{code} was never found: {refused:?}"
        );
    }
}

/// Every place that a finding names.
fn places(findings: &Findings) -> impl Iterator<Item = Span> {
    let places = findings.diagnostics.iter().flat_map(|found| {
        let secondary = found.secondary.iter().map(|label| label.span);
        let edits = found.fix.iter().flat_map(|fix| &fix.edits);
        std::iter::once(found.primary.span)
            .chain(secondary)
            .chain(edits.map(|(span, _)| *span))
    });
    places.chain(findings.secrets.iter().copied())
}

/// Whether the text was compiled.
fn assert_compiled_or_refused(text: &str) -> bool {
    let Outcome { plan, findings } = compiled(text);
    for span in places(&findings) {
        assert!(
            text.get(span.start..span.end).is_some(),
            "{span:?} in {text:?}"
        );
    }
    let errors = findings.diagnostics.iter();
    let has_error = errors
        .filter(|found| found.severity == Severity::Error)
        .count()
        > 0;
    assert_eq!(plan.is_none(), has_error, "{text:?}: {findings:?}");
    plan.is_some()
}

#[test]
fn any_text_is_compiled_or_refused_with_findings_inside_it() {
    let mut draw = Draw(0x7465_7874);
    let mut compiled = 0;
    for round in 0..3_000 {
        let mut text = String::new();
        match round % 3 {
            0 => draw.tree(5, &mut text),
            1 => text = draw.heap(),
            // A sound configuration with a tree in place of one value.
            _ => {
                text = "version: 1\nservers: { s: { command: c } }\n".to_owned();
                let _ = write!(
                    text,
                    "{}: ",
                    draw.one(&["limits", "listen", "endpoints", "x-a"])
                );
                draw.tree(3, &mut text);
            }
        }
        compiled += usize::from(assert_compiled_or_refused(&text));
    }
    assert!(compiled > 20, "only {compiled} of all texts compile");
}

#[test]
fn any_bytes_are_a_text_or_refused_with_a_place_to_show() {
    let mut draw = Draw(0x6279_7465);
    let mut texts = 0;
    for _ in 0..3_000 {
        match Source::from_bytes("mcpc.yaml", draw.bytes()) {
            Ok(source) => {
                assert_compiled_or_refused(source.text());
                texts += 1;
            }
            Err(rejected) => {
                let span = rejected.diagnostic.primary.span;
                let shown = rejected.source.text().get(span.start..span.end);
                assert!(shown.is_some(), "{rejected:?}");
            }
        }
    }
    assert!(texts > 0, "no bytes were a text");
}
