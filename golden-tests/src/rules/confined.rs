//! Rule: some things are done in one place only, and this table says which.
//!
//! Types and visibility hold most borders. This holds those that they cannot: which file may name a
//! crate, open a socket or start a task.

use crate::rust_code::production_code;
use crate::{Finding, Repository};

/// Something that only some files below a directory may name.
struct Border {
    /// What stands in the code.
    what: &'static str,
    /// The directory in which the border holds.
    within: &'static str,
    /// The files, or directories, that may cross it.
    only: &'static [&'static str],
    /// Why it is there.
    why: &'static str,
}

const BORDERS: [Border; 10] = [
    Border {
        what: "granit_parser",
        within: "",
        only: &["compiler/src/parse.rs", "compiler/src/syntax.rs"],
        why: "another YAML reader must cost two files",
    },
    Border {
        what: "annotate_snippets",
        within: "",
        only: &["compiler/src/render/human.rs"],
        why: "another way of drawing must cost one file",
    },
    Border {
        what: "strsim::",
        within: "",
        only: &["compiler/src/suggest.rs"],
        why: "what counts as a near name is decided once",
    },
    Border {
        what: "Permit(",
        within: "dataplane/src",
        only: &["dataplane/src/policy.rs"],
        why: "one decision stands in front of every transport, method and era",
    },
    Border {
        what: "plane.live.store(",
        within: "dataplane/src",
        only: &["dataplane/src/engine.rs"],
        why: "one pointer store makes another plan live",
    },
    Border {
        what: "TcpListener",
        within: "dataplane/src",
        only: &["dataplane/src/workers.rs", "dataplane/src/listener.rs"],
        why: "workers bind and listeners accept; the rest can be tested without a port",
    },
    Border {
        what: "TcpSocket",
        within: "dataplane/src",
        only: &["dataplane/src/reach/", "dataplane/src/listener.rs"],
        why: "tests put pipes in place of sockets",
    },
    Border {
        what: "Command::new(",
        within: "dataplane/src",
        only: &["dataplane/src/reach/"],
        why: "tests put pipes in place of processes",
    },
    Border {
        what: ".expose()",
        within: "dataplane/src",
        only: &[
            "dataplane/src/reach/",
            "dataplane/src/secret.rs",
            "dataplane/src/upstream/",
        ],
        why: "a secret goes to the wire or into a child's environment, and nowhere else",
    },
    Border {
        what: "serde_json::from_",
        within: "dataplane/src",
        only: &["dataplane/src/json.rs", "dataplane/src/reach/"],
        why: "messages of peers are read by one scanner, so that what was judged is what was read",
    },
];

/// Places outside a border that name what is kept inside, and borders that nothing needs.
pub fn border_crossings(repository: &Repository) -> Vec<Finding> {
    BORDERS
        .iter()
        .flat_map(|border| check(border, repository))
        .collect()
}

fn check(border: &Border, repository: &Repository) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut is_used = false;
    let for_tests = repository.test_files();
    for file in repository
        .rust()
        .filter(|file| file.text.contains(border.what))
    {
        let in_scope = file.path.starts_with(border.within) && file.path.contains("src/");
        let is_harness = file.path.starts_with("golden-tests/");
        if !in_scope || is_harness || for_tests.contains(file.path.as_str()) {
            continue;
        }
        let may = border.only.iter().any(|only| file.path.starts_with(only));
        for (index, line) in production_code(&file.text).lines().enumerate() {
            if !line.contains(border.what) {
                continue;
            }
            is_used |= may;
            if !may {
                let fact = format!(
                    "`{}` belongs to {:?}: {}",
                    border.what, border.only, border.why
                );
                found.push(Finding::at(&file.path, index + 1, fact));
            }
        }
    }
    if !is_used {
        let fact = format!(
            "nothing in {:?} names `{}` any more",
            border.only, border.what
        );
        found.push(Finding::new(file!(), fact));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;

    #[test]
    fn crossing_and_border_without_use_are_found() {
        let border = Border {
            what: "Socket",
            within: "a/src",
            only: &["a/src/reach/"],
            why: "",
        };
        let places = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(path, text)| TextFile::new(*path, *text));
            let found = check(&border, &Repository::of(files.collect()));
            found
                .into_iter()
                .map(|finding| finding.place)
                .collect::<Vec<_>>()
        };
        let inside = ("a/src/reach/real.rs", "use Socket;");
        assert_eq!(places(&[inside, ("b/src/c.rs", "use Socket;")]), [""; 0]);
        assert_eq!(
            places(&[inside, ("a/src/c.rs", "\nuse Socket;")]),
            ["a/src/c.rs:2"]
        );
        assert_eq!(places(&[]), [file!()]);
    }
}
