//! Makes one configuration of what the files of a directory hold.
//!
//! Owns what may stand in several files: servers and endpoints are put together by their names, and each
//! file may say the version. Everything else, and each name, stands in one of them; given twice it is a
//! finding that names both files. No file wins over another, so their order decides nothing but the
//! order of findings. Called by `parse`; what the keys mean is for the passes after it.

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::source::Source;
use crate::tree::{Content, Entry, Map, NodeId, Style, Tree};

/// The sections whose entries come from several files.
const GATHERED: [&str; 2] = ["servers", "endpoints"];

const VERSION: &str = "version";

/// Makes the root of the tree out of the roots of the files.
pub(crate) fn unite(tree: &mut Tree, roots: &[NodeId], source: &Source, sink: &mut Sink) {
    let Some(first) = roots.first() else {
        return;
    };
    // What is no map is refused by the shape of a configuration, which says why.
    let whole = roots.iter().find(|root| tree.map(**root).is_none());
    if let Some(root) = whole.or_else(|| (roots.len() == 1).then_some(first)) {
        tree.set_root(*root);
        return;
    }
    let united = tree.push(
        Content::Null,
        Style::Collection,
        tree.node_span(*first),
        None,
    );
    let maps = roots.iter().filter_map(|root| tree.map(*root));
    let mut entries: Vec<Entry> = maps.flat_map(Map::entries).cloned().collect();
    drop_equal_versions(tree, &mut entries);
    for section in GATHERED {
        gather(tree, section, united, &mut entries, source, sink);
    }
    let help = "keep it in one of the files; only servers and endpoints may come from several";
    hold(tree, united, entries, &|twin| twin.help(help), source, sink);
    tree.set_root(united);
}

/// Leaves one entry for the section, which holds what all files say of it.
fn gather(
    tree: &mut Tree,
    section: &str,
    united: NodeId,
    entries: &mut Vec<Entry>,
    source: &Source,
    sink: &mut Sink,
) {
    let given = entries.iter().filter(|entry| &*entry.key == section);
    let given: Vec<Entry> = given.cloned().collect();
    let (Some(first), true) = (given.first(), given.len() > 1) else {
        return;
    };
    let wrong = given.iter().find(|entry| tree.map(entry.value).is_none());
    let kept = if let Some(wrong) = wrong {
        wrong.clone()
    } else {
        let span = tree.node_span(first.value);
        let value = tree.push(Content::Null, Style::Collection, span, Some(united));
        let maps = given.iter().filter_map(|entry| tree.map(entry.value));
        let all: Vec<Entry> = maps.flat_map(Map::entries).cloned().collect();
        let help = "keep one of the two, or give the second one another name";
        hold(tree, value, all, &|twin| twin.help(help), source, sink);
        Entry {
            value,
            ..first.clone()
        }
    };
    entries.retain(|entry| &*entry.key != section);
    entries.push(kept);
}

/// Gives a node these entries; what is given twice is told and left out.
fn hold(
    tree: &mut Tree,
    node: NodeId,
    entries: Vec<Entry>,
    advise: &dyn Fn(Diagnostic) -> Diagnostic,
    source: &Source,
    sink: &mut Sink,
) {
    let (map, twice) = Map::new(entries);
    for (first, second) in twice {
        sink.report(advise(given_in_two_files(&first, &second, source)));
    }
    for entry in map.entries() {
        tree.adopt(entry.value, node);
    }
    let span = tree.node_span(node);
    tree.close(node, Content::Map(Box::new(map)), span);
}

/// Each file can be checked by itself, so each says the version.
fn drop_equal_versions(tree: &Tree, entries: &mut Vec<Entry>) {
    let is_version = |entry: &Entry| &*entry.key == VERSION;
    let Some(first) = entries.iter().find(|entry| is_version(entry)).cloned() else {
        return;
    };
    entries.retain(|entry| {
        !is_version(entry)
            || entry.value == first.value
            || tree.content(entry.value) != tree.content(first.value)
    });
}

fn given_in_two_files(first: &Entry, second: &Entry, source: &Source) -> Diagnostic {
    let name = plain_text(&first.key);
    let (here, there) = (second.key_span.wide(), first.key_span.wide());
    let files = [there, here].map(|span| {
        let file = source.file_name(span.start).rsplit(['/', '\\']).next();
        plain_text(file.unwrap_or_default())
    });
    let [one, other] = files;
    Diagnostic::error(
        codes::DUPLICATE_KEY,
        format!("the key `{name}` is given twice, in `{one}` and in `{other}`"),
        here,
        "given again here",
    )
    .and(there, "first given here")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::path::Path;

    fn read(files: &[&str]) -> (Source, Option<Tree>, Vec<Diagnostic>) {
        let files = files.iter().zip(["d/a.yaml", "d/b.yaml", "d/c.yaml"]);
        let files = files.map(|(text, name)| (name.to_owned(), text.as_bytes().to_vec()));
        let source = Source::from_files("d", files.collect()).unwrap();
        let mut sink = Sink::default();
        let tree = crate::parse::parse(&source, &mut sink);
        (source, tree, sink.into_sorted())
    }

    #[test]
    fn sections_come_together_and_keep_their_places() {
        let (source, tree, found) = read(&[
            "version: 1\nservers:\n  x: { command: a }",
            "# nothing yet\n",
            "servers:\n\n  y: { command: b }\nversion: 1\nlimits: {}\n",
        ]);
        assert_eq!(found, []);
        let tree = tree.unwrap();
        for (path, file, line) in [
            (Path::of(["servers", "x"]), "d/a.yaml", 3),
            (Path::of(["servers", "y", "command"]), "d/c.yaml", 3),
            (Path::of(["limits"]), "d/c.yaml", 5),
        ] {
            let span = tree.key_span(&path);
            let place = (source.file_name(span.start), source.place(span.start).line);
            assert_eq!(place, (file, line), "{path}");
            assert_eq!(tree.path(tree.find(&path).unwrap()), path);
        }
    }

    #[test]
    fn what_is_given_twice_names_both_files() {
        let (source, _, found) = read(&[
            "version: 1\nlimits: {}\nservers: { x: {} }\n",
            "version: 2\nlimits: {}\nservers: { x: {} }\n",
        ]);
        let told: Vec<&str> = found.iter().map(|found| &*found.message).collect();
        assert_eq!(
            told,
            [
                "the key `version` is given twice, in `a.yaml` and in `b.yaml`",
                "the key `limits` is given twice, in `a.yaml` and in `b.yaml`",
                "the key `x` is given twice, in `a.yaml` and in `b.yaml`",
            ]
        );
        for found in found {
            assert_eq!(source.file_name(found.primary.span.start), "d/b.yaml");
            let other = found.secondary.first().unwrap();
            assert_eq!(source.file_name(other.span.start), "d/a.yaml");
        }
    }

    #[test]
    fn a_fault_is_told_of_each_file_and_in_the_one_that_has_it() {
        let (source, tree, found) = read(&["# -\na: [\n", "a: &x 1\n", "b: *x\n"]);
        assert!(tree.is_none());
        let places = found.iter().map(|found| {
            let start = found.primary.span.start;
            (source.file_name(start), source.place(start).line)
        });
        // The anchor of one file is not known in another.
        assert_eq!(
            places.collect::<Vec<_>>(),
            [("d/a.yaml", 2), ("d/c.yaml", 1)]
        );
    }
}
