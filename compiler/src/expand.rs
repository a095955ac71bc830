//! Puts the values of placeholders into the tree.
//!
//! Owns what a placeholder may do: it acts on one scalar after parsing, so a value can never add
//! structure; keys and secrets are never expanded; values of variables never reach a diagnostic.
//! Does not know the grammar (`placeholder`) or the schema (`meaning`). Hands a set of nodes to
//! `shape` and `decode` whose value is not known, and about which they say nothing.

use std::collections::BTreeSet;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::meaning::Leaf;
use crate::placeholder::{Fault, Kind, Origin, Piece, Placeholder, pieces};
use crate::scalar::{self, Resolved};
use crate::schema::Schema;
use crate::source::{Source, Span};
use crate::tree::{Content, NodeId, Style, Tree};
use crate::{Input, Tier};

/// Nodes whose value is not known: what they lack is reported already.
pub(crate) type Unknown = BTreeSet<NodeId>;

/// More findings than this are not told; the first ones say what to do.
const FINDINGS_MAX: usize = 1000;

/// The most placeholders of a configuration, and of what looks like one, so that reading them costs
/// little whatever the text is.
const PLACEHOLDERS_MAX: usize = 100_000;

/// Expands every scalar of the tree.
pub(crate) fn expand(
    input: &Input<'_>,
    tree: &mut Tree,
    leaves: &[Leaf],
    sink: &mut Sink,
) -> Unknown {
    let mut unknown = Unknown::new();
    let mut told = 0;
    let mut left = PLACEHOLDERS_MAX + 1;
    for leaf in leaves {
        let text = match tree.content(leaf.node) {
            Content::Text(text) if text.contains('$') => text.clone(),
            _ => continue,
        };
        if left == 0 {
            // One finding has told already that there are too many.
            unknown.insert(leaf.node);
            continue;
        }
        let mut scalar = Scalar {
            input,
            leaf,
            span: tree.node_span(leaf.node),
            offset: offset_in_source(input.source, tree.node_span(leaf.node), &text),
            found: Vec::new(),
            unset: BTreeSet::new(),
            known: true,
            left: &mut left,
        };
        let result = scalar.read(&text);
        let known = scalar.known;
        for diagnostic in scalar.found {
            told += 1;
            if told > FINDINGS_MAX {
                break;
            }
            sink.report(match tree.node_site(leaf.node) {
                Some(site) => diagnostic.and(site, "the value is used here"),
                None => diagnostic,
            });
        }
        if !known {
            unknown.insert(leaf.node);
        } else if !leaf.is_secret() {
            replace(tree, leaf, &text, &result);
        }
    }
    unknown
}

/// Puts a result into the tree. It is read as a number or a boolean only where one is wanted, and
/// only if the scalar is one whole placeholder without quotes.
fn replace(tree: &mut Tree, leaf: &Leaf, text: &str, result: &str) {
    let mut placeholders = pieces(text).filter(|piece| matches!(piece.kind, Kind::Placeholder(_)));
    let Some(first) = placeholders.next() else {
        tree.rewrite(leaf.node, result);
        return;
    };
    let is_whole = first.range == (0..text.len()) && tree.style(leaf.node) == Style::Plain;
    let written = text.get(first.range).unwrap_or_default();
    let ends = [":-", ":?", ">", "}"];
    let ends = ends.iter().filter_map(|end| written.find(end));
    let name = written
        .get(..ends.min().unwrap_or_default())
        .unwrap_or_default();
    let close = if name.starts_with("$<") { '>' } else { '}' };
    let origin = format!("{name}{close}").into();
    let content = match scalar::resolve(result) {
        Resolved::Value(content) if is_whole && !matches!(leaf.schema, Schema::Text(_)) => content,
        _ => Content::Text(result.into()),
    };
    tree.expand(leaf.node, content, origin);
}

/// One scalar on its way through the placeholders in it.
struct Scalar<'a> {
    input: &'a Input<'a>,
    leaf: &'a Leaf,
    span: Span,
    offset: Option<usize>,
    found: Vec<Diagnostic>,
    /// Variables that are told already: one missing variable is one finding for a scalar.
    unset: BTreeSet<String>,
    known: bool,
    /// How many more placeholders there may be in the whole text, one beyond the last included.
    left: &'a mut usize,
}

impl Scalar<'_> {
    /// The text with its placeholders replaced.
    fn read(&mut self, text: &str) -> String {
        let mut result = String::new();
        for piece in pieces(text) {
            let written = text.get(piece.range.clone()).unwrap_or_default();
            if !matches!(piece.kind, Kind::Text(_)) {
                *self.left -= 1;
                if *self.left == 0 {
                    self.too_many(&piece);
                    break;
                }
            }
            match &piece.kind {
                Kind::Text(text) => result.push_str(text),
                Kind::Stray => {
                    result.push_str(written);
                    self.stray(&piece, written);
                }
                Kind::Fault(fault) => self.fault(*fault, &piece),
                Kind::Placeholder(placeholder) => match self.value(placeholder, &piece) {
                    Some(value) => result.push_str(&value),
                    None => result.push_str(written),
                },
            }
        }
        result
    }

    /// Told whatever else was found: it is why the rest is not looked at.
    fn too_many(&mut self, piece: &Piece<'_>) {
        self.known = false;
        self.found = vec![
            Diagnostic::error(
                codes::TOO_MANY_PLACEHOLDERS,
                format!("the text has more than {PLACEHOLDERS_MAX} placeholders"),
                self.place(piece),
                "this is one too many",
            )
            .help("split the configuration over several gateways"),
        ];
    }

    fn value(&mut self, placeholder: &Placeholder<'_>, piece: &Piece<'_>) -> Option<String> {
        if self.leaf.is_secret() {
            if self.input.tier == Tier::Environment && !self.has_value(placeholder) {
                self.report_without_value(placeholder, piece);
            }
            return None;
        }
        let name = match placeholder.origin {
            Origin::Variable(name) => name,
            Origin::File(_) => {
                self.known = false;
                self.tell(
                    Diagnostic::error(
                        codes::FILE_OUTSIDE_SECRET,
                        "only a secret can come from a file",
                        self.place(piece),
                        "this field is not a secret",
                    )
                    .help("use a variable: `$<NAME>`")
                    .note("everything but secrets is fixed at compile time, and the compiler reads no other files"),
                );
                return None;
            }
        };
        let value = self.input.variables.get(name).filter(|value| {
            // Like `:-` of the shell, a default also stands in for an empty value.
            !(value.is_empty() && (placeholder.default.is_some() || placeholder.message.is_some()))
        });
        let value = value.or_else(|| placeholder.default.map(ToOwned::to_owned));
        if value.is_none() {
            self.known = false;
            if self.unset.insert(name.to_owned()) {
                self.report_unset(name, placeholder.message, piece);
            }
        }
        value
    }

    /// Whether a secret would have a value if the gateway started here. The value is dropped at once.
    fn has_value(&self, placeholder: &Placeholder<'_>) -> bool {
        let variables = self.input.variables;
        placeholder.default.is_some()
            || match placeholder.origin {
                Origin::Variable(name) => variables
                    .get(name)
                    .is_some_and(|value| !value.is_empty() || placeholder.message.is_none()),
                Origin::File(path) => variables.has_file(path),
            }
    }

    fn report_without_value(&mut self, placeholder: &Placeholder<'_>, piece: &Piece<'_>) {
        self.known = false;
        let (name, fact, help) = match placeholder.origin {
            Origin::Variable(name) => (
                name,
                format!("the variable `{}` is not set", plain_text(name)),
                "put it into the credentials file, or into the environment of the gateway",
            ),
            Origin::File(path) => (
                path,
                format!("the file `{}` cannot be read", plain_text(path)),
                "mount the file, and make it readable for the user that runs the gateway",
            ),
        };
        if !self.unset.insert(name.to_owned()) {
            return;
        }
        let fact = match placeholder.message {
            Some(message) if !message.is_empty() => format!("{fact}: {}", plain_text(message)),
            _ => fact,
        };
        let (span, label) = (self.place(piece), "this secret has no value here");
        let diagnostic = Diagnostic::error(codes::SECRET_WITHOUT_VALUE, fact, span, label);
        self.tell(diagnostic.help(help));
    }

    fn report_unset(&mut self, name: &str, message: Option<&str>, piece: &Piece<'_>) {
        let name = plain_text(name);
        let text = match message {
            Some(message) if !message.is_empty() => {
                format!("the variable `{name}` is not set: {}", plain_text(message))
            }
            _ => format!("the variable `{name}` is not set"),
        };
        let (span, label) = (self.place(piece), "has no value and no default");
        let diagnostic = match self.input.tier {
            Tier::Check => Diagnostic::warning(codes::UNSET, text, span, label)
                .note("what depends on this value is not checked"),
            Tier::Plan | Tier::Environment => Diagnostic::error(codes::UNSET, text, span, label),
        };
        self.tell(diagnostic.help(format!(
            "set `{name}` in the environment, or give a default: `$<{name}:-default>`"
        )));
    }

    fn fault(&mut self, fault: Fault, piece: &Piece<'_>) {
        self.known = false;
        let (label, help) = fault.words();
        let (code, message) = match fault {
            Fault::Vault => (codes::VAULT, "values from a vault are not supported"),
            _ => (codes::PLACEHOLDER, "a placeholder is not well formed"),
        };
        self.tell(Diagnostic::error(code, message, self.place(piece), label).help(help));
    }

    /// In a secret a dollar sign is likely to be part of a password, so nothing is said.
    fn stray(&mut self, piece: &Piece<'_>, written: &str) {
        if self.leaf.is_secret() {
            return;
        }
        let name = plain_text(written.trim_start_matches('$'));
        let span = self.place(piece);
        let diagnostic = Diagnostic::warning(
            codes::STRAY_DOLLAR,
            format!("`${name}` is not expanded"),
            span,
            "stands for itself, dollar sign included",
        );
        self.tell(diagnostic.help(format!(
            "write `$<{name}>` for the value of the variable, or `$${name}` for the text"
        )));
    }

    /// Keeps a finding; a scalar with more mistakes than this is one large mistake.
    fn tell(&mut self, diagnostic: Diagnostic) {
        const FINDINGS_OF_ONE_SCALAR_MAX: usize = 8;
        if self.found.len() < FINDINGS_OF_ONE_SCALAR_MAX {
            self.found.push(diagnostic);
        }
    }

    /// Where a piece stands in the source; the whole scalar if escapes or folding move things.
    fn place(&self, piece: &Piece<'_>) -> Span {
        self.offset.map_or(self.span, |offset| {
            Span::new(offset + piece.range.start, offset + piece.range.end)
        })
    }
}

/// Where the text of a scalar stands word for word in its span, if it does.
fn offset_in_source(source: &Source, span: Span, text: &str) -> Option<usize> {
    source.slice(span).find(text).map(|at| span.start + at)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::meaning::Meaning;
    use crate::{NoVariables, Overrides, Path, Variables};

    struct Fixed(&'static str);

    impl Variables for Fixed {
        fn get(&self, name: &str) -> Option<String> {
            (name == "X").then(|| self.0.to_owned())
        }
    }

    fn run(text: &str, variables: &dyn Variables, tier: Tier) -> (Tree, Unknown, Vec<Diagnostic>) {
        let source = Source::new("t", text);
        let mut sink = Sink::default();
        let mut tree = crate::parse::parse(&source, &mut sink).unwrap();
        let input = Input {
            source: &source,
            variables,
            tier,
            overrides: Overrides::default(),
        };
        let leaves = Meaning::of(&tree).leaves;
        let unknown = expand(&input, &mut tree, &leaves, &mut sink);
        (tree, unknown, sink.into_sorted())
    }

    fn content(tree: &Tree, path: &Path) -> Content {
        tree.content(tree.find(path).unwrap()).clone()
    }

    #[test]
    fn a_value_is_one_scalar_whatever_is_in_it() {
        const HOSTILE: &str = "a: b\n- c # d \"'{[&*!|>%@`";
        let text = "servers: { s: { command: $<X>, args: [\"x$<X>\"] } }\n";
        let (tree, _, found) = run(text, &Fixed(HOSTILE), Tier::Plan);
        let server = Path::of(["servers", "s"]);
        assert_eq!(
            content(&tree, &server.key("command")),
            Content::Text(HOSTILE.into())
        );
        assert_eq!(
            content(&tree, &server.key("args").index(0)),
            Content::Text(format!("x{HOSTILE}").into())
        );
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_number_is_read_only_where_one_is_wanted() {
        let text = "servers: { s: { command: $<X>, restart: { at_most: $<X> }, limits: { open_files: \"$<X>\" } } }\n";
        let (tree, _, _) = run(text, &Fixed("80"), Tier::Plan);
        let server = Path::of(["servers", "s"]);
        let text = Content::Text("80".into());
        assert_eq!(content(&tree, &server.key("command")), text);
        assert_eq!(
            content(&tree, &server.key("restart").key("at_most")),
            Content::Integer(80)
        );
        assert_eq!(
            content(&tree, &server.key("limits").key("open_files")),
            text
        );
        assert_eq!(tree.placeholder(&server.key("command")), Some("$<X>"));
    }

    #[test]
    fn secrets_stay_templates_and_their_text_is_never_told() {
        let text = "servers: { s: { url: http://h, headers: { A: \"hunter2 $<X\", B: $<X>, C: pa$word } } }\n";
        let (tree, unknown, found) = run(text, &Fixed("hunter2"), Tier::Plan);
        let headers = Path::of(["servers", "s", "headers"]);
        assert_eq!(
            content(&tree, &headers.key("B")),
            Content::Text("$<X>".into())
        );
        assert_eq!(unknown.len(), 1);
        assert_eq!(found.len(), 1);
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn an_unset_variable_is_a_warning_for_check_and_an_error_for_plan() {
        use crate::Severity;
        let text = "listen: { address: '${X:?tell me}' }\n";
        for (tier, severity) in [
            (Tier::Check, Severity::Warning),
            (Tier::Plan, Severity::Error),
        ] {
            let (_, unknown, found) = run(text, &NoVariables, tier);
            let [only] = found.as_slice() else {
                unreachable!("one finding: {found:?}")
            };
            assert_eq!(only.severity, severity);
            assert!(only.message.ends_with("not set: tell me"), "{only:?}");
            assert_eq!(unknown.len(), 1);
        }
        let (tree, unknown, _) = run(
            "listen: { address: \"$<X:-h:1>\" }\n",
            &NoVariables,
            Tier::Plan,
        );
        assert!(unknown.is_empty());
        assert_eq!(
            content(&tree, &Path::of(["listen", "address"])),
            Content::Text("h:1".into())
        );
    }
}
