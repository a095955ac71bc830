//! Rule: what the data plane imports flows one way, or at least no less so than it does.
//!
//! A module that imports another one which imports it, over however many steps, can only be understood
//! together with it. So the modules in the largest such cycle are counted. The bound is how many there are
//! now: it goes down with each module that leaves, and never up.

use std::collections::{BTreeMap, BTreeSet};

use crate::rust_code::production_code;
use crate::{Finding, Repository};

const ROOT: &str = "dataplane/src/";
const TANGLED_MAX: usize = 33;

/// The modules that each module imports.
type Imports<'r> = BTreeMap<&'r str, BTreeSet<&'r str>>;

/// A largest cycle of imports that has become larger, or smaller than its bound says.
pub fn tangled_modules(repository: &Repository) -> Vec<Finding> {
    check(repository, TANGLED_MAX)
}

fn check(repository: &Repository, tangled_max: usize) -> Vec<Finding> {
    let imports = imports(repository);
    let tangled = largest_cycle(&imports);
    let count = tangled.len();
    if count > tangled_max {
        let fact = format!(
            "{count} modules import each other in a circle, {tangled_max} did: {tangled:?}; let one of \
             them not import the others, or move what they share to a module that imports none"
        );
        return vec![Finding::new(ROOT, fact)];
    }
    if count < tangled_max {
        let fact = format!("{count} modules are left in the largest cycle: lower `TANGLED_MAX`");
        return vec![Finding::new(file!(), fact)];
    }
    Vec::new()
}

/// Which modules right below the root name which, outside their tests.
fn imports(repository: &Repository) -> Imports<'_> {
    let for_tests = repository.test_files();
    let files = repository.rust().filter_map(|file| {
        let below = file.path.strip_prefix(ROOT)?;
        let module = below.split(['/', '.']).next()?;
        let counts = module != "lib" && !for_tests.contains(file.path.as_str());
        counts.then_some((module, &file.text))
    });
    let files: Vec<_> = files.collect();
    let modules: BTreeSet<&str> = files.iter().map(|(module, _)| *module).collect();
    let mut imports = Imports::new();
    for (module, text) in files {
        let code = production_code(text);
        let named = imports.entry(module).or_default();
        for name in named_modules(&code) {
            // What the root exports is named by it alone and is no module.
            if let Some(other) = modules.get(name).filter(|other| **other != module) {
                named.insert(*other);
            }
        }
    }
    imports
}

/// What follows `crate::`, one by one if it is a group.
fn named_modules(code: &str) -> impl Iterator<Item = &str> {
    let is_apart = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    code.split("crate::").skip(1).flat_map(move |rest| {
        let group = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split('}').next());
        let names = group.unwrap_or_else(|| rest.split(is_apart).next().unwrap_or_default());
        names.split(is_apart)
    })
}

/// The most modules of which each can be reached from each.
fn largest_cycle<'r>(imports: &Imports<'r>) -> BTreeSet<&'r str> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports
        .keys()
        .map(|module| (*module, reachable(module, imports)))
        .collect();
    let leads = |from: &str, to: &str| reached.get(from).is_some_and(|all| all.contains(to));
    let circles = imports.keys().map(|module| {
        let others = reached.get(module).into_iter().flatten().copied();
        others.filter(|other| leads(other, module)).collect()
    });
    circles
        .max_by_key(|circle: &BTreeSet<&str>| circle.len())
        .unwrap_or_default()
}

fn reachable<'r>(from: &str, imports: &Imports<'r>) -> BTreeSet<&'r str> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for other in imports.get(module).into_iter().flatten() {
            if found.insert(*other) {
                next.push(other);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;

    fn repository(files: &[(&str, &str)]) -> Repository {
        let files = files
            .iter()
            .map(|(path, text)| TextFile::new(format!("{ROOT}{path}"), *text));
        Repository::of(files.collect())
    }

    #[test]
    fn a_circle_is_counted_over_all_its_steps_and_without_what_only_hangs_on_it() {
        let text = repository(&[
            ("lib.rs", "use crate::a::A;"),
            ("a.rs", "use crate::{b, c::C};"),
            ("b/mod.rs", ""),
            ("b/inner.rs", "use crate::c::C;"),
            (
                "c.rs",
                "fn c() { crate::a::a() }\n#[cfg(test)]\nmod tests {\n    use crate::d;\n}\n",
            ),
            ("d.rs", "use crate::a;"),
        ]);
        let circle: Vec<_> = largest_cycle(&imports(&text)).into_iter().collect();
        assert_eq!(circle, ["a", "b", "c"]);
    }

    #[test]
    fn a_larger_circle_is_found_and_so_is_a_bound_that_is_too_high() {
        let text = repository(&[("a.rs", "use crate::b;"), ("b.rs", "use crate::a;")]);
        let places = |tangled_max| -> Vec<_> {
            let found = check(&text, tangled_max).into_iter();
            found.map(|finding| finding.place).collect()
        };
        assert_eq!(places(1), [ROOT]);
        assert_eq!(places(2), [""; 0]);
        assert_eq!(places(3), [file!()]);
    }
}
