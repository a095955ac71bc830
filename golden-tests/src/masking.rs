//! No finding shows a secret, however the text around it is broken.
//!
//! Owns configurations with one secret each, and the sweep over their broken copies in every format.
//! A sweep knows what the secret is; the compiler has to tell it from its name or its beginning.

use mcpc_compiler::Format;

use crate::compiled::Compiled;
use crate::finding::Finding;
use crate::mutation::mutants;

/// Stands for the secret.
const SECRET: &str = "SECRET";

/// A secret that nothing but what stands before it tells.
const NAMELESS: &str = "hunter2-marked-0815";

/// Texts in which a name announces the secret. Before each is what must not be broken, if it is one thing
/// alone that announces it: without that nobody could know.
const ANNOUNCED: [(&str, &str); 12] = [
    (
        "",
        "version: 1\nservers:\n  a:\n    url: https://h.example/mcp\n    headers:\n      Authorization: Bearer SECRET\n      X-Trace: 'on'\n    timeouts: { total: 5s }\n",
    ),
    (
        "",
        "version: 1\nservers: { a: { url: https://h.example/mcp, headers: { Authorization: \"Bearer SECRET\" }, era: modern } }\n",
    ),
    (
        "",
        "version: 1\nservers:\n  a:\n    command: server\n    env:\n      LOG_LEVEL: info\n      GITHUB_TOKEN: SECRET\n    start: { when: eager }\n",
    ),
    (
        "",
        "version: 1\nservers:\n  a:\n    command: server\n    env: { DB_PASSWORD: 'SECRET', MODE: fast }\n",
    ),
    (
        "api-token",
        "version: 1\nservers:\n  a:\n    command: server\n    args:\n      - --api-token\n      - SECRET\n      - --verbose\n",
    ),
    (
        "password",
        "version: 1\nservers:\n  a: { command: server, args: [run, --password, SECRET, --port, '80'] }\n",
    ),
    (
        "client-secret",
        "version: 1\nservers:\n  a:\n    command: server\n    args: [--client-secret=SECRET]\n  b:\n    url: http://h.example/mcp\n",
    ),
    (
        "api_token",
        "version: 1\nservers:\n  a:\n    url: https://h.example/mcp?page=1&api_token=SECRET\n    era: auto\n",
    ),
    (
        "Authorization",
        "version: 1\nx-shared: &all\n  Authorization: SECRET\nservers:\n  a: { url: https://h.example/mcp, headers: *all }\n",
    ),
    (
        "://me:SECRET@",
        "version: 1\nservers:\n  a:\n    command: server\n    args: [\"postgres://me:SECRET@h.example/db\"]\n",
    ),
    (
        "",
        "version: 1\nservers:\n  a:\n    command: server\n    # env:\n    #   API_TOKEN: SECRET\n    args: [x]\n",
    ),
    (
        "",
        "version: 1\nservers:\n  a:\n    command: server\n    env:\n      KEY: |\n        first\n        SECRET\n    start: { when: eager }\n",
    ),
];

/// Texts in which nothing does. The secret is known by its beginning.
const ANYWHERE: [&str; 3] = [
    "version: 1\nservers:\n  a:\n    command: server\n    args: [serve, SECRET]\n",
    "version: 1\nservers:\n  a: { command: server, cwd: /srv/SECRET }\n  b: { url: https://h.example/SECRET/mcp }\n",
    "version: 1\nservers:\n  SECRET: { command: server }\nendpoints: { main: { path: /mcp, servers: [SECRET] } }\n",
];

/// Broken copies of each text that are tried.
const MUTANTS: usize = 200;

/// What shows a secret that its name announces.
pub fn shown_by_name() -> Vec<Finding> {
    let found = ANNOUNCED.iter();
    found
        .flat_map(|(name, text)| sweep(text, name, NAMELESS))
        .collect()
}

/// What shows a secret that is known by its beginning.
pub fn shown_by_beginning() -> Vec<Finding> {
    let beginnings = ["ghp_", "github_pat_", "xoxb-", "glpat-"].iter().cycle();
    let texts = ANNOUNCED.iter().map(|(_, text)| text);
    let texts = texts.chain(&ANYWHERE).zip(beginnings);
    let secret = |beginning: &str| beginning.to_owned() + &"a1B2c3D4".repeat(5);
    texts
        .flat_map(|(text, beginning)| sweep(text, "", &secret(beginning)))
        .collect()
}

fn sweep(text: &str, name: &str, secret: &str) -> Vec<Finding> {
    let (text, name) = (text.replace(SECRET, secret), name.replace(SECRET, secret));
    // What is cut out and put elsewhere keeps what announces the secret, or nobody could know it.
    let announced = announced(&text, secret);
    let broken = mutants(&text, MUTANTS).into_iter();
    let is_announced =
        |mutant: &String| mutant.matches(secret).count() == mutant.matches(announced).count();
    let broken = broken
        .filter(|mutant| is_announced(mutant) && mutant.contains(&name))
        .map(String::into_bytes)
        .chain(flips(&text, [&name, secret]));
    let mut faults = 0;
    let mut findings = Vec::new();
    for bytes in broken.chain([text.clone().into_bytes()]) {
        let compiled = Compiled::of("mcpc.yaml", bytes, None);
        faults += usize::from(!compiled.diagnostics.is_empty());
        findings.extend(shown(&compiled, secret));
    }
    if faults <= MUTANTS / 4 {
        findings.push(Finding::new(&text, "hardly any copy is broken"));
    }
    findings
}

/// The secret with its line and the line before.
fn announced<'a>(text: &'a str, secret: &str) -> &'a str {
    let at = text.find(secret).unwrap_or_default();
    let breaks = text[..at].rmatch_indices('\n').map(|(at, _)| at + 1);
    let start = breaks.take(2).last().unwrap_or_default();
    &text[start..at + secret.len()]
}

/// The text with one byte changed, each outside of what is kept and in a few ways.
fn flips(text: &str, kept: [&str; 2]) -> impl Iterator<Item = Vec<u8>> {
    let kept = kept.map(|kept| text.find(kept).map(|at| at..at + kept.len()));
    let is_kept = move |byte: &usize| kept.iter().flatten().any(|kept| kept.contains(byte));
    let outside = (0..text.len()).filter(move |byte| !is_kept(byte));
    let pairs = outside.flat_map(|byte| b":{}[]\"'\n #-,x&*\x01\xff".map(|other| (byte, other)));
    // The step is prime to the number of others, so each place and each other has its turns.
    pairs.step_by(7).map(|(byte, other)| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[byte] = other;
        bytes
    })
}

fn shown(compiled: &Compiled, secret: &str) -> Option<Finding> {
    let mut texts = Format::ALL
        .map(|format| compiled.rendered_as(format))
        .into_iter();
    let text = texts.find(|text| text.contains(secret))?;
    Some(Finding::new(
        compiled.source.text(),
        format!("shows its secret:\n{text}"),
    ))
}
