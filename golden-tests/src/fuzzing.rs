//! The parsers of configurations and plans, each as a function from any bytes: it panics if a promise
//! is broken.
//!
//! Owns those that can be reached from outside their crates; those of the data plane are in a module of
//! its own. `golden-tests/fuzz` calls all of them, and the tests here call these with what
//! `mutation` makes of seeds and of plans.

use mcpc_compiler::Format;
use mcpc_plan::{ContentKey, Endpoint, Names, Pattern, Plan, Transport};

use crate::{Compiled, Values};

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target of this crate, by name.
pub const TARGETS: [(&str, Target); 4] = [
    ("configuration", configuration),
    ("patterns", patterns),
    ("plan", plan),
    ("variables", variables),
];

/// What a terminal or a log can bear, whatever was fed to the compiler.
const RENDERED_BYTES_MAX: usize = 256 << 10;

/// A configuration compiles, or gets findings that point inside of it and can be shown.
pub fn configuration(bytes: &[u8]) {
    let values = Values::parse("X=value\nTOKEN=secret\n");
    for values in [None, Some(&values)] {
        let compiled = Compiled::of("mcpc.yaml", bytes.to_vec(), values);
        assert_eq!(compiled.broken_promises(), [""; 0]);
        let turn = bytes.len() % Format::ALL.len();
        let shown = compiled.rendered_as(Format::ALL[turn]);
        assert!(shown.len() <= RENDERED_BYTES_MAX, "{} bytes", shown.len());
    }
}

/// A value of a variable adds no structure, whatever it holds. The first line is the value of `X`, the
/// rest a text in which it may stand.
pub fn variables(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (value, template) = text.split_once('\n').unwrap_or((text, ""));
    let quoted = serde_json::to_string(template).expect("a text can be written");
    let configuration = format!(
        "version: 1\nservers:\n  a:\n    command: x\n    args: [{quoted}]\n    env: {{ A_TOKEN: {quoted} }}\n"
    );
    let values = Values::parse(&format!("X={value}"));
    let compiled = Compiled::of("mcpc.yaml", configuration.into(), Some(&values));
    assert_eq!(compiled.broken_promises(), [""; 0]);
    let Some(plan) = compiled.plan else { return };
    let Transport::Stdio(stdio) = &plan.upstreams[0].transport else {
        panic!("the server is reached in another way");
    };
    assert_eq!(
        (plan.upstreams.len(), stdio.args.len(), stdio.env.len()),
        (1, 1, 1)
    );
    if !template.contains('$') {
        assert_eq!(stdio.args[0].as_ref(), template);
    }
}

/// A plan is refused, or is whole: then it is written as it was read, and no look-up in it dangles.
/// One that only lacks its seal gets it first, so that every rule is met and not the digest alone.
pub fn plan(bytes: &[u8]) {
    if let Ok(plan) = Plan::from_bytes(bytes) {
        let written = plan.to_bytes().expect("a verified plan can be written");
        assert_eq!(Plan::from_bytes(&written), Ok(plan));
    }
    let Ok(mut plan) = serde_json::from_slice::<Plan>(bytes) else {
        return;
    };
    for upstream in &mut plan.upstreams {
        upstream.key = ContentKey::unsealed();
    }
    let Ok(plan) = plan.seal() else { return };
    if plan.verify().is_err() {
        return;
    }
    let written = plan.to_bytes().expect("a sealed plan can be written");
    assert_eq!(Plan::from_bytes(&written).as_ref(), Ok(&plan));
    for endpoint in &plan.endpoints {
        whole(&plan, endpoint);
    }
}

/// Every name that is routed has an owner, who has an upstream.
fn whole(plan: &Plan, endpoint: &Endpoint) {
    let known = endpoint
        .tools
        .exact
        .iter()
        .map(|route| route.exposed.to_string());
    let open = endpoint.tools.open.iter();
    let open = open.map(|route| format!("{}x", route.prefix));
    for name in known.chain(open).chain([String::new(), "x".to_owned()]) {
        let found = [endpoint.find_tool(&name), endpoint.find_prompt(&name)];
        for found in found.into_iter().flatten() {
            let member = endpoint.member(found.member).expect("a route has a member");
            assert!(plan.upstream(member.upstream).is_some(), "{name}");
        }
    }
    for route in &endpoint.tools.exact {
        assert!(
            endpoint.find_tool(&route.exposed).is_some(),
            "{}",
            route.exposed
        );
    }
}

/// A pattern matches what the naive reading of it matches. The first line is the pattern, the rest the name.
pub fn patterns(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
    let expected = matches(pattern.as_bytes(), name.as_bytes());
    let read = Pattern::new(pattern);
    assert_eq!(read.matches(name), expected, "{pattern:?} {name:?}");
    let patterns = Pattern::sorted([read, Pattern::new("never\n"), Pattern::new("\n*")]);
    let names = Names {
        allow: Some(patterns),
        ..Names::default()
    };
    let expected = expected || name == "never\n" || name.starts_with('\n');
    assert_eq!(names.allows(name), expected, "{pattern:?} {name:?}");
}

/// By dynamic programming: which beginnings of the name the pattern so far matches.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for byte in pattern {
        let before = reached.clone();
        reached[0] &= *byte == b'*';
        for at in 1..=name.len() {
            reached[at] = match byte {
                b'*' => before[at] || reached[at - 1],
                byte => before[at - 1] && *byte == name[at - 1],
            };
        }
    }
    reached[name.len()]
}
