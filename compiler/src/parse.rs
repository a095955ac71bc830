//! Reads a text into a [`Tree`]; the files of a directory one after the other, into one.
//!
//! Owns what YAML may be used for here: one document, text keys, no tags, no directives, aliases
//! and merges within a budget, bounded depth and size. Does not expand placeholders (`expand`) or
//! know any key (`shape`). Nothing recurses while loading, so no text can exhaust the stack;
//! every limit is checked before the memory is used. JSON is YAML, so it is read here as well.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, Tag};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::scalar::{self, Resolved};
use crate::source::{Source, Span};
use crate::syntax;
use crate::tree::{Content, Entry, Map, NodeId, Span32, Style, Tree};
use crate::unite::unite;

/// How deep lists and maps may lie in each other, aliases followed.
pub(crate) const DEPTH_MAX: usize = 64;
/// How many values a text may have: room for 10 000 servers. Measured: a text of wrong values costs up
/// to 1.1 KB for each, and one of new names 1.5 KB, so this keeps the worst text below 200 MB and 2 s.
const NODES_MAX: usize = 128_000;
/// How many nodes aliases and merges may add.
const COPIES_MAX: usize = 100_000;

/// Reads the text; `None` if there is nothing to go on with.
pub(crate) fn parse(source: &Source, sink: &mut Sink) -> Option<Tree> {
    let mut loader = Loader::new(source, sink);
    let mut is_readable = true;
    for file in source.files() {
        is_readable &= loader.read(file);
    }
    if is_readable { loader.finish() } else { None }
}

/// Why loading ends before the text does.
enum Stop {
    /// The rest is not looked at; what was read is used.
    End,
    /// Nothing of the text is used.
    At(Box<Diagnostic>),
}

type Step = Result<(), Stop>;

/// A list or map that is still open.
struct Frame {
    node: NodeId,
    anchor: usize,
    start: usize,
    /// Levels below this one that are known so far.
    height: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<NodeId>),
    Map {
        entries: Vec<Entry>,
        key: Option<Key>,
        merge: Option<(Span, NodeId)>,
    },
}

/// A key that waits for its value.
enum Key {
    Name(Box<str>, Span32),
    Merge(Span),
}

struct Loader<'a> {
    source: &'a Source,
    sink: &'a mut Sink,
    tree: Tree,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, (NodeId, usize)>,
    copies: usize,
    documents: usize,
    /// What the files hold, in their order.
    roots: Vec<NodeId>,
}

impl<'a> Loader<'a> {
    fn new(source: &'a Source, sink: &'a mut Sink) -> Self {
        Self {
            source,
            sink,
            tree: Tree::default(),
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            copies: 0,
            documents: 0,
            roots: Vec::new(),
        }
    }

    /// Reads one file; whether it is one that can be read. Anchors are its own.
    fn read(&mut self, file: Span) -> bool {
        let mut options = Options::default();
        options.disallow_directives = true;
        // One more than our own limit, which names the place better.
        options.flow_nesting_limit = DEPTH_MAX + 1;
        options.block_nesting_limit = DEPTH_MAX + 1;
        // Repairs splice at spans and leave comments alone, so nobody asks for them.
        options.set_emit_comments(false);
        self.stack.clear();
        self.anchors.clear();
        self.documents = 0;
        let source = self.source;
        for event in Parser::new_from_str_with_options(source.slice(file), options) {
            let step = match event {
                Ok((event, span)) => {
                    let range = span.byte_range().unwrap_or_default();
                    let span = self.trimmed(file.start + range.start, file.start + range.end);
                    self.take(event, span)
                }
                Err(error) => Err(Stop::At(syntax::explain(source, file, &error))),
            };
            match step {
                Ok(()) => {}
                Err(Stop::End) => break,
                Err(Stop::At(diagnostic)) => {
                    self.sink.report(*diagnostic);
                    return false;
                }
            }
        }
        true
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::DocumentStart(..) => self.document(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(FrameKind::List(Vec::new()), anchor, tag.as_deref(), span)
            }
            Event::MappingStart(_, anchor, tag) => {
                let kind = FrameKind::Map {
                    entries: Vec::new(),
                    key: None,
                    merge: None,
                };
                self.open(kind, anchor, tag.as_deref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close(span);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Step {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        self.sink.report(
            Diagnostic::error(
                codes::SEVERAL_DOCUMENTS,
                "the text holds more than one document",
                span,
                "a second document starts here",
            )
            .help("remove the `---`, or put the second document into a file of its own"),
        );
        Err(Stop::End)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Step {
        let plain = style == ScalarStyle::Plain;
        let as_text = self.check_tag(tag, span)?;
        if self.wants_key() {
            return self.key(text, plain, span);
        }
        let (content, style) = if !plain {
            (Content::Text(text.into()), Style::Quoted)
        } else if as_text {
            (Content::Text(text.into()), Style::Plain)
        } else {
            match scalar::resolve(text) {
                Resolved::Value(content) => (content, Style::Plain),
                Resolved::NotFinite => {
                    self.sink.report(not_finite(span));
                    (Content::Null, Style::Refused)
                }
            }
        };
        let node = self.push(content, style, span)?;
        self.attach(node, anchor, 0, None);
        Ok(())
    }

    /// Whether a tag says "text"; an error for every tag that says anything else.
    fn check_tag(&self, tag: Option<&Tag>, span: Span) -> Result<bool, Stop> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Ok(true),
            Some(tag) => {
                let name = plain_text(&tag.original());
                let start = self.tag_start(span, &tag.original());
                let span = start.map_or(span, |at| Span::new(at, at + tag.original().len()));
                stop(
                    Diagnostic::error(
                        codes::TAG,
                        format!("the tag `{name}` has no meaning here"),
                        span,
                        "tags are not supported",
                    )
                    .help("remove the tag; put a text in quotes to keep it a text"),
                )
            }
        }
    }

    /// Where a tag that ends before a node starts.
    fn tag_start(&self, node: Span, tag: &str) -> Option<usize> {
        let line = self.source.text().get(..node.start)?;
        let from = line.rfind('\n').map_or(0, |at| at + 1);
        line.get(from..)?.rfind(tag).map(|at| from + at)
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame {
                kind: FrameKind::Map { key: None, .. },
                ..
            })
        )
    }

    fn key(&mut self, text: &str, plain: bool, span: Span) -> Step {
        // The reader gives `~` for a key that is not there.
        if plain && span.start == span.end {
            return not_text_key(span, "this key is empty");
        }
        let name = if plain && text == "<<" {
            Key::Merge(span)
        } else {
            Key::Name(text.into(), Span32::narrow(span))
        };
        if let Some(FrameKind::Map { key, .. }) = self.stack.last_mut().map(|frame| &mut frame.kind)
        {
            *key = Some(name);
        }
        Ok(())
    }

    fn open(&mut self, kind: FrameKind, anchor: usize, tag: Option<&Tag>, span: Span) -> Step {
        self.check_tag(tag, span)?;
        if self.wants_key() {
            return not_text_key(span, "a list or map cannot be a key");
        }
        if self.stack.len() >= DEPTH_MAX {
            return too_deep(span);
        }
        let node = self.push(Content::Null, Style::Collection, span)?;
        self.stack.push(Frame {
            node,
            anchor,
            start: span.start,
            height: 1,
            kind,
        });
        Ok(())
    }

    fn close(&mut self, end: Span) {
        let Some(frame) = self.stack.pop() else {
            return;
        };
        let content = match frame.kind {
            FrameKind::List(items) => Content::List(items.into()),
            FrameKind::Map { entries, merge, .. } => {
                let (mut map, twice) = Map::new(entries);
                for (first, second) in twice {
                    self.sink.report(key_given_twice(&first, &second));
                    self.tree.note_twin(first.value, second.value);
                }
                if let Some((site, merged)) = merge {
                    map = self.merge(frame.node, &map, merged, site);
                }
                Content::Map(Box::new(map))
            }
        };
        let span = self.first_line(frame.start, end.end);
        self.tree.close(frame.node, content, span);
        self.attach(frame.node, frame.anchor, frame.height, None);
    }

    /// The first line of a list or map: labels never draw a whole block.
    fn first_line(&self, start: usize, end: usize) -> Span {
        let line = self.source.text().get(start..end).unwrap_or_default();
        let line = line.split(['\n', '\r']).next().unwrap_or_default();
        Span::new(start, start + line.trim_end().len())
    }

    /// A span without the blank space after its text.
    fn trimmed(&self, start: usize, end: usize) -> Span {
        let text = self.source.text().get(start..end).unwrap_or_default();
        Span::new(
            start,
            start + text.trim_end_matches([' ', '\t', '\n', '\r']).len(),
        )
    }

    fn push(&mut self, content: Content, style: Style, span: Span) -> Result<NodeId, Stop> {
        if self.tree.len() >= NODES_MAX {
            return stop(
                Diagnostic::error(
                    codes::TOO_MANY_NODES,
                    "the text has more than 128000 values",
                    span,
                    "this is one too many",
                )
                .help("split the configuration over several gateways"),
            );
        }
        let parent = self.stack.last().map(|frame| frame.node);
        Ok(self.tree.push(content, style, span, parent))
    }

    /// Hands a finished node to the list or map that is open, or makes it the root.
    fn attach(&mut self, node: NodeId, anchor: usize, height: usize, site: Option<Span>) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node, height));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.roots.push(node);
            return;
        };
        frame.height = frame.height.max(height + 1);
        match &mut frame.kind {
            FrameKind::List(items) => items.push(node),
            FrameKind::Map {
                entries,
                key,
                merge,
            } => match key.take() {
                Some(Key::Name(key, key_span)) => entries.push(Entry {
                    key,
                    key_span,
                    value: node,
                }),
                Some(Key::Merge(key_span)) if merge.is_some() => {
                    let diagnostic = Diagnostic::error(
                        codes::DUPLICATE_KEY,
                        "the key `<<` is given twice",
                        key_span,
                        "given again here",
                    );
                    self.sink.report(
                        diagnostic.help("merge several maps with a list: `<<: [*first, *second]`"),
                    );
                }
                Some(Key::Merge(key_span)) => *merge = Some((site.unwrap_or(key_span), node)),
                None => {}
            },
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        if self.wants_key() {
            return not_text_key(span, "an alias cannot be a key");
        }
        let Some(&(target, height)) = self.anchors.get(&anchor) else {
            return stop(Diagnostic::error(
                codes::ANCHOR_IN_ITSELF,
                "an anchor contains itself",
                span,
                "this alias stands inside its own anchor",
            ));
        };
        if self.stack.len() + height > DEPTH_MAX {
            return too_deep(span);
        }
        let parent = self.stack.last().map(|frame| frame.node);
        let copy = self.copy(target, parent, span)?;
        self.attach(copy, 0, height, Some(span));
        Ok(())
    }

    /// Copies a node and what is below it. The depth is bounded by [`DEPTH_MAX`].
    fn copy(&mut self, id: NodeId, parent: Option<NodeId>, site: Span) -> Result<NodeId, Stop> {
        self.copies += 1;
        if self.copies > COPIES_MAX {
            return stop(
                Diagnostic::error(
                    codes::ALIAS_BUDGET,
                    "aliases stand for more than 100000 values",
                    site,
                    "the limit is passed here",
                )
                .note("aliases of aliases multiply; a few lines can stand for billions of values"),
            );
        }
        let copy = self.tree.copy_shallow(id, parent, site);
        let content = match self.tree.content(id).clone() {
            Content::List(items) => {
                let mut copies = Vec::with_capacity(items.len());
                for item in items {
                    copies.push(self.copy(item, Some(copy), site)?);
                }
                Content::List(copies.into())
            }
            Content::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries().len());
                for entry in map.entries() {
                    entries.push(Entry {
                        value: self.copy(entry.value, Some(copy), site)?,
                        ..entry.clone()
                    });
                }
                Content::Map(Box::new(Map::new(entries).0))
            }
            scalar => scalar,
        };
        let span = self.tree.node_span(copy);
        self.tree.close(copy, content, span);
        Ok(copy)
    }

    /// Adds the entries of a merged map, or of a list of maps; what is there already wins.
    fn merge(&mut self, into: NodeId, map: &Map, merged: NodeId, site: Span) -> Map {
        let sources = match self.tree.content(merged) {
            Content::List(items) => items.to_vec(),
            _ => vec![merged],
        };
        let mut entries = map.entries().to_vec();
        let mut known: BTreeSet<Box<str>> = entries.iter().map(|entry| entry.key.clone()).collect();
        for source in sources {
            let Some(more) = self.tree.map(source).cloned() else {
                let diagnostic = Diagnostic::error(
                    codes::MERGE_OF_NO_MAP,
                    "only maps can be merged",
                    site,
                    "this is not a map",
                );
                self.sink.report(
                    diagnostic.help("name the anchor of a map: `<<: *name`, or a list of them"),
                );
                continue;
            };
            for entry in more.entries() {
                if known.insert(entry.key.clone()) {
                    self.tree.adopt(entry.value, into);
                    entries.push(entry.clone());
                }
            }
        }
        Map::new(entries).0
    }

    fn finish(mut self) -> Option<Tree> {
        let tree = &self.tree;
        self.roots.retain(|root| {
            *tree.content(*root) != Content::Null || tree.style(*root) != Style::Plain
        });
        if self.roots.is_empty() {
            let end = self.source.files().last().map_or(0, |file| file.end);
            self.sink.report(
                Diagnostic::error(
                    codes::EMPTY,
                    "the text holds no configuration",
                    Span::new(end, end),
                    "nothing but blank space and comments",
                )
                .help("the smallest configuration has `version: 1` and one entry under `servers`"),
            );
            return None;
        }
        unite(&mut self.tree, &self.roots, self.source, self.sink);
        Some(self.tree)
    }
}

fn stop<T>(diagnostic: Diagnostic) -> Result<T, Stop> {
    Err(Stop::At(Box::new(diagnostic)))
}

fn too_deep(span: Span) -> Step {
    let first = Span::new(span.start, span.end.min(span.start + 1).max(span.start));
    stop(Diagnostic::error(
        codes::TOO_DEEP,
        "lists and maps lie more than 64 levels deep",
        first,
        "this is level 65",
    ))
}

fn not_text_key(span: Span, label: &str) -> Step {
    stop(
        Diagnostic::error(codes::KEY_NOT_TEXT, "a key must be text", span, label)
            .help("put the key in quotes"),
    )
}

fn not_finite(span: Span) -> Diagnostic {
    Diagnostic::error(
        codes::NOT_FINITE,
        "a number must be finite",
        span,
        "not a number that can be used here",
    )
    .help("write the number that is meant; put quotes around a text")
}

fn key_given_twice(first: &Entry, second: &Entry) -> Diagnostic {
    let name = plain_text(&first.key);
    Diagnostic::error(
        codes::DUPLICATE_KEY,
        format!("the key `{name}` is given twice"),
        second.key_span.wide(),
        "given again here",
    )
    .and(first.key_span.wide(), "first given here")
    .help("keep one of the two")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_of(text: &str) -> Vec<crate::Code> {
        let mut sink = Sink::default();
        parse(&Source::new("t", text), &mut sink);
        let found = sink.into_sorted();
        for diagnostic in &found {
            let span = diagnostic.primary.span;
            assert!(text.get(span.start..span.end).is_some(), "{diagnostic:?}");
        }
        found.iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn hostile_texts_end_in_one_finding() {
        let many = |bit: &str, count: usize| bit.repeat(count);
        let anchors: String = (1..200)
            .map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1))
            .collect::<Vec<_>>()
            .concat();
        for (text, code) in [
            (many("[", 10_000), codes::TOO_DEEP),
            (many("{a: ", 10_000), codes::TOO_DEEP),
            (many("- ", 10_000), codes::TOO_DEEP),
            (format!("a0: &a0 [x]\n{anchors}"), codes::TOO_DEEP),
            (
                format!("[{}]", many("a,", NODES_MAX)),
                codes::TOO_MANY_NODES,
            ),
            (many("\n", 1_000_000), codes::EMPTY),
            (many("# x\n", 100_000), codes::EMPTY),
            (String::new(), codes::EMPTY),
            ("~\n".to_owned(), codes::EMPTY),
            ("\u{feff}".to_owned(), codes::EMPTY),
            (many("a: ", 3), codes::SYNTAX),
            (many("'", 99_999), codes::SYNTAX),
            ("a: *b\n".to_owned(), codes::UNKNOWN_ALIAS),
            ("a:\n\tb: c\n".to_owned(), codes::TAB),
            ("? [a]\n: b\n".to_owned(), codes::KEY_NOT_TEXT),
        ] {
            let start: String = text.chars().take(40).collect();
            assert_eq!(codes_of(&text), [code], "{start:?}");
        }
    }

    #[test]
    fn limits_let_through_what_is_just_within() {
        let nested = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert_eq!(codes_of(&nested), []);
        let list = format!("[{}]", "a,".repeat(NODES_MAX - 1));
        assert_eq!(codes_of(&list), []);
        let comments = format!("a: 1\n{}b:\n  - 1\n", "# x\n".repeat(19_000));
        assert_eq!(codes_of(&comments), []);
    }

    /// Texts made of what YAML cares about, from a small generator with a fixed seed.
    #[test]
    fn any_text_is_read_or_refused() {
        const BITS: [&str; 24] = [
            "a", "b: ", "- ", "[", "]", "{", "}", ", ", "\n", "\n  ", "&x ", "*x", "<<: ", "'",
            "\"", "# c\n", "|\n", ">-\n", "\t", "!t ", "é", "? ", "---\n", "%Y\n",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..5_000 {
            let mut text = String::new();
            for _ in 0..14 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let bit = usize::try_from(state % 24).unwrap_or(0);
                text.push_str(BITS.get(bit).unwrap_or(&""));
            }
            codes_of(&text);
        }
    }
}
