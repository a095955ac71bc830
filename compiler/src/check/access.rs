//! Access rules that say nothing, or nothing that can ever hold.
//!
//! The data plane does not enforce rules yet, so `unsupported` refuses the section; what is wrong
//! inside is told all the same, in the same run.

use mcpc_config::{Glob, Rule};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::path::Path;
use crate::references::rule_patterns;
use crate::resolve::{Kind, Resolved};
use crate::surface::{PatternSet, Surface};

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    let Some(access) = &resolved.config().access else {
        return;
    };
    let site = Path::of(["access", "rules"]);
    // Of a rule that is in error in part nobody knows what it says.
    let is_whole = |index| !resolved.decoded.is_partial(&site.index(index));
    for (index, rule) in access.rules.iter().enumerate() {
        let site = site.index(index);
        if !is_whole(index) {
            continue;
        }
        if effect(resolved, rule, &site, sink) && subject(resolved, rule, &site, sink) {
            empty_grants(resolved, rule, &site, sink);
        }
    }
    let denies_all = |rule: &&Rule| {
        let roles = rule.deny.as_deref().unwrap_or_default();
        let is_unconditional = rule.when.is_none() && rule.annotations.is_none();
        is_unconditional && rule.allow.is_none() && roles.iter().any(|role| role == "*")
    };
    for (index, deny) in access
        .rules
        .iter()
        .enumerate()
        .filter(|(index, rule)| denies_all(rule) && is_whole(*index))
    {
        shadowed(resolved, &access.rules, (index, deny), sink);
    }
}

/// A rule either allows or denies.
fn effect(resolved: &Resolved<'_>, rule: &Rule, site: &Path, sink: &mut Sink) -> bool {
    let (message, label) = match (&rule.allow, &rule.deny) {
        (Some(_), None) | (None, Some(_)) => return true,
        (Some(_), Some(_)) => (
            "a rule both allows and denies",
            "this rule has `allow` and `deny`",
        ),
        (None, None) => (
            "a rule neither allows nor denies",
            "`allow` or `deny` is missing here",
        ),
    };
    let diagnostic = Diagnostic::error(
        codes::RULE_WITHOUT_EFFECT,
        message,
        resolved.span(site),
        label,
    )
    .help("write one rule for what is allowed and one for what is denied");
    sink.report(diagnostic);
    false
}

/// A rule speaks of somebody and of something. An empty list means none, never all.
fn subject(resolved: &Resolved<'_>, rule: &Rule, site: &Path, sink: &mut Sink) -> bool {
    let roles = rule.allow.as_ref().or(rule.deny.as_ref());
    let (message, label) = if roles.is_some_and(Vec::is_empty) {
        (
            "a rule is for nobody",
            "no role is listed; an empty list means none",
        )
    } else if rule_patterns(rule)
        .iter()
        .all(|(_, patterns)| patterns.is_empty())
    {
        (
            "a rule is about nothing",
            "no tools, prompts or resources are listed",
        )
    } else {
        return true;
    };
    let diagnostic = Diagnostic::error(codes::GRANTS_NOTHING, message, resolved.span(site), label)
        .help("list what the rule is about, or remove it; `*` stands for all");
    sink.report(diagnostic);
    false
}

/// Patterns that no exposed name can match.
fn empty_grants(resolved: &Resolved<'_>, rule: &Rule, site: &Path, sink: &mut Sink) {
    for (kind, patterns) in [(Kind::Tools, &rule.tools), (Kind::Prompts, &rule.prompts)] {
        for (index, pattern) in patterns.iter().enumerate() {
            let Some((name, pattern)) = pattern.as_str().split_once('/') else {
                continue;
            };
            let server = resolved.server_id(name).and_then(|id| resolved.server(id));
            let Some(server) = server.filter(|server| !can_match(server.surface(kind), pattern))
            else {
                continue;
            };
            let message = format!(
                "server `{}` exposes no {} that `{}` matches",
                server.name,
                kind.one(),
                plain_text(pattern)
            );
            let span = resolved.span(&site.key(kind.key()).index(index));
            let filter = resolved.key_span(&server.site().key(kind.key()));
            let label = "this is about nothing";
            let diagnostic = Diagnostic::error(codes::GRANTS_NOTHING, message, span, label)
                .and(filter, "only these are exposed")
                .help(
                    "correct the pattern; rules speak of the server's own names, not of new ones",
                );
            sink.report(diagnostic);
        }
    }
}

fn can_match(surface: &Surface<'_>, pattern: &str) -> bool {
    let glob = mcpc_plan::Pattern::new(pattern);
    let meets = surface
        .allow
        .as_ref()
        .is_none_or(|allow| allow.meets(pattern));
    if surface.is_partial {
        return true;
    }
    let unknown = surface.open && meets && surface.deny.matching(pattern).is_none();
    unknown || surface.known.iter().any(|known| glob.matches(known.name))
}

/// Allow rules of which an unconditional deny for everybody leaves nothing.
fn shadowed(resolved: &Resolved<'_>, rules: &[Rule], (at, deny): (usize, &Rule), sink: &mut Sink) {
    let denied = rule_patterns(deny).map(|(_, patterns)| PatternSet::new(patterns));
    // `*` and `*/*` both mean everything.
    let covers = |denied: &PatternSet<'_>, pattern: &Glob| {
        denied.matching(pattern.as_str()).is_some() || denied.matching("*/*").is_some()
    };
    let site = Path::of(["access", "rules"]);
    for (index, rule) in rules.iter().enumerate() {
        let mut lists = rule_patterns(rule).into_iter().zip(&denied);
        let is_dead = lists
            .all(|((_, patterns), denied)| patterns.iter().all(|pattern| covers(denied, pattern)));
        let says_something = rule_patterns(rule)
            .iter()
            .any(|(_, patterns)| !patterns.is_empty());
        let is_whole = !resolved.decoded.is_partial(&site.index(index));
        if rule.allow.is_none() || !is_dead || !says_something || !is_whole {
            continue;
        }
        let message = "a rule allows what another one denies to everybody";
        let span = resolved.span(&site.index(index));
        let diagnostic = Diagnostic::error(
            codes::SHADOWED_RULE,
            message,
            span,
            "this rule never applies",
        )
        .and(resolved.span(&site.index(at)), "denied to every role here")
        .help("remove one of the two; without any rule nothing is allowed anyway")
        .note("a deny always wins, whatever the order of the rules");
        sink.report(diagnostic);
    }
}
