//! Every format on the same findings: bounded, escaped, and without secrets.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use crate::diagnostic::Code;

const SYNTAX: Code = Code(1001);

fn span_of(source: &Source, text: &str) -> Span {
    let start = source.text().find(text).unwrap();
    Span::new(start, start + text.len())
}

fn sample() -> (Source, Vec<Diagnostic>) {
    let source = Source::new(
        "conf/mcpc.yaml",
        "version: 1\nservers:\n  é: { url: 1 }\n  b: { url: 2 }\n",
    );
    let found = vec![
        Diagnostic::error(SYNTAX, "a fact", span_of(&source, "2"), "here")
            .and(span_of(&source, "1 }"), "and there")
            .help("do this,\nthen that: 100%")
            .note("a reason")
            .fix(span_of(&source, "2"), "3"),
        Diagnostic::warning(SYNTAX, "another fact", Span::new(0, 7), "this key"),
    ];
    (source, found)
}

fn write(source: &Source, found: &[Diagnostic], format: Format) -> String {
    render(&[Report::new(source, found)], format, Color::Off)
}

#[test]
fn human_shows_lines_labels_help_and_notes() {
    let (source, found) = sample();
    let expected = "\
error[MCPC1001]: a fact
 --> conf/mcpc.yaml:4:13
  |
3 |   é: { url: 1 }
  |             --- and there
4 |   b: { url: 2 }
  |             ^ here
  |
  = help: do this,
          then that: 100%
  = note: a reason
  = note: run `mcpc explain MCPC1001`

warning[MCPC1001]: another fact
 --> conf/mcpc.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^ this key
  |
  = note: run `mcpc explain MCPC1001`

found 1 error and 1 warning
";
    assert_eq!(write(&source, &found, Format::Human), expected);
    assert_eq!(write(&source, &[], Format::Human), "");
}

#[test]
fn concise_is_one_line_each() {
    let (source, found) = sample();
    assert_eq!(
        write(&source, &found, Format::Concise),
        "conf/mcpc.yaml:4:13: error[MCPC1001]: a fact\nconf/mcpc.yaml:1:1: warning[MCPC1001]: another fact\n"
    );
}

#[test]
fn github_commands_are_escaped() {
    let (source, found) = sample();
    assert_eq!(
        write(&source, &found, Format::Github),
        "::error file=conf/mcpc.yaml,line=4,col=13,endColumn=13,title=MCPC1001::a fact%0Ahelp: do this,%0Athen that: 100%25\n\
         ::warning file=conf/mcpc.yaml,line=1,col=1,endColumn=7,title=MCPC1001::another fact\n"
    );
}

#[test]
fn gitlab_lists_findings_under_fingerprints_of_their_own() {
    let (source, found) = sample();
    let source = Source::new("./conf/mcpc.yaml", source.text());
    let twice: Vec<Diagnostic> = found.iter().chain(&found).cloned().collect();
    let text = write(&source, &twice, Format::Gitlab);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let print = |index: usize| {
        let print = json.pointer(&format!("/{index}/fingerprint")).unwrap();
        print.as_str().unwrap().to_owned()
    };
    let expected = serde_json::json!({
        "check_name": "MCPC1001",
        "description": "a fact\nhelp: do this,\nthen that: 100%",
        "severity": "major",
        "fingerprint": print(0),
        "location": { "path": "conf/mcpc.yaml", "lines": { "begin": 4, "end": 4 } },
    });
    assert_eq!(json.pointer("/0").unwrap(), &expected);
    assert_eq!(json.pointer("/1/severity").unwrap(), "minor");
    let prints: std::collections::BTreeSet<String> = (0..4).map(print).collect();
    assert_eq!(prints.len(), 4);
    assert_eq!(write(&source, &[], Format::Gitlab), "[]\n");
}

#[test]
fn junit_fails_a_case_for_each_error_and_escapes() {
    let (source, mut found) = sample();
    if let Some(first) = found.first_mut() {
        first.message = "`a<b>` & \"c\"\u{1}".to_owned();
    }
    let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"mcpc check\" tests=\"2\" failures=\"1\">
  <testsuite name=\"conf/mcpc.yaml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">
    <testcase classname=\"conf/mcpc.yaml\" name=\"MCPC1001 at 4:13\" file=\"conf/mcpc.yaml\" line=\"4\">
      <failure type=\"MCPC1001\" message=\"`a&lt;b&gt;` &amp; &quot;c&quot;\u{fffd}\">conf/mcpc.yaml:4:13: `a&lt;b&gt;` &amp; &quot;c&quot;\u{fffd}&#10;help: do this,&#10;then that: 100%</failure>
    </testcase>
    <testcase classname=\"conf/mcpc.yaml\" name=\"MCPC1001 at 1:1\" file=\"conf/mcpc.yaml\" line=\"1\">
      <system-out>conf/mcpc.yaml:1:1: warning: another fact</system-out>
    </testcase>
  </testsuite>
</testsuites>
";
    assert_eq!(write(&source, &found, Format::Junit), expected);
    let clean = write(&source, &[], Format::Junit);
    assert!(clean.contains("tests=\"1\" failures=\"0\""), "{clean}");
    assert!(clean.contains("name=\"no errors\""), "{clean}");
}

#[test]
fn markdown_is_a_table_in_which_text_stays_text() {
    let (source, mut found) = sample();
    if let Some(first) = found.first_mut() {
        first.message = "`a|<b>` is no <b>@all</b>".to_owned();
    }
    let expected = "\
**mcpc check**: 1 error, 1 warning

| | place | code | |
| --- | --- | --- | --- |
| error | conf/mcpc.yaml:4:13 | MCPC1001 | `a\\|<b>` is no &lt;b&gt;&#64;all&lt;/b&gt;<br>help: do this, then that: 100% |
| warning | conf/mcpc.yaml:1:1 | MCPC1001 | another fact |
";
    assert_eq!(write(&source, &found, Format::Markdown), expected);
    if let Some(first) = found.first_mut() {
        first.message = "a ` and *two* [links](x)".to_owned();
    }
    let text = write(&source, &found, Format::Markdown);
    assert!(
        text.contains("a \\` and \\*two\\* \\[links\\](x)"),
        "{text}"
    );
    assert_eq!(
        write(&source, &[], Format::Markdown),
        "**mcpc check**: no findings\n"
    );
}

#[test]
fn json_has_places_counts_and_edits() {
    let (source, found) = sample();
    let text = write(&source, &found, Format::Json);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json.pointer("/format").unwrap(), 1);
    assert_eq!(json.pointer("/errors").unwrap(), 1);
    assert_eq!(json.pointer("/warnings").unwrap(), 1);
    let first = json.pointer("/diagnostics/0").unwrap();
    assert_eq!(first.pointer("/file").unwrap(), "conf/mcpc.yaml");
    let start = first.pointer("/labels/0/start").unwrap();
    assert_eq!(
        start,
        &serde_json::json!({ "line": 4, "column": 13, "byte": source.text().find('2').unwrap() })
    );
    assert_eq!(first.pointer("/labels/1/primary").unwrap(), false);
    assert_eq!(first.pointer("/fix/0/replacement").unwrap(), "3");
}

#[test]
fn sarif_fingerprints_survive_lines_above() {
    let (source, found) = sample();
    let text = write(&source, &found, Format::Sarif);
    let moved = Source::new(source.name(), format!("# more\n{}", source.text()));
    let mut found = found;
    for diagnostic in &mut found {
        let shift = |span: &mut Span| *span = Span::new(span.start + 7, span.end + 7);
        shift(&mut diagnostic.primary.span);
        diagnostic
            .secondary
            .iter_mut()
            .for_each(|label| shift(&mut label.span));
    }
    let again = write(&moved, &found, Format::Sarif);
    let print = |text: &str, index: usize| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let path = format!("/runs/0/results/{index}/partialFingerprints/mcpcFinding~1v1");
        json.pointer(&path).unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(print(&text, 0), print(&again, 0));
    assert_ne!(print(&text, 0), print(&text, 1));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let region = json
        .pointer("/runs/0/results/0/locations/0/physicalLocation/region")
        .unwrap();
    assert_eq!(
        region,
        &serde_json::json!({ "startLine": 4, "startColumn": 13, "endLine": 4, "endColumn": 14 })
    );
}

#[test]
fn long_lines_and_many_findings_stay_bounded() {
    let line = format!("{}X{}\n", "é".repeat(50_000), "b".repeat(1_000_000));
    let source = Source::new("t", format!("{line}{line}"));
    let span = span_of(&source, "X");
    let found: Vec<Diagnostic> = (0..5000)
        .map(|number| match number {
            4999 => Diagnostic::error(SYNTAX, "the only error", span, "here"),
            _ => Diagnostic::warning(SYNTAX, format!("fact {number}"), span, "here"),
        })
        .collect();
    for format in Format::ALL {
        let text = write(&source, &found, format);
        assert!(text.len() < 200_000, "{format:?}: {}", text.len());
        assert!(text.contains("the only error"), "{format:?}");
    }
    let text = write(&source, &found, Format::Human);
    assert!(text.contains("4900 more are not"));
    assert!(
        text.contains("t:1:50001"),
        "{}",
        text.get(..2000).unwrap_or(&text)
    );
}

#[test]
fn secrets_are_masked_in_every_format() {
    let source = Source::new(
        "t",
        "headers: { A: \"Bearer hunter2 $<TOKEN> $<B:-hunter3>\", b: 1 }\n",
    );
    let secret = span_of(&source, "\"Bearer hunter2 $<TOKEN> $<B:-hunter3>\"");
    let found = [Diagnostic::error(
        SYNTAX,
        "a fact",
        span_of(&source, "b: 1"),
        "here",
    )];
    let report = Report {
        secrets: &[secret],
        ..Report::new(&source, &found)
    };
    for format in Format::ALL {
        let text = render(&[report], format, Color::Off);
        assert!(!text.contains("hunter"), "{format:?}: {text}");
    }
    let human = render(&[report], Format::Human, Color::Off);
    assert!(human.contains("$<TOKEN>"), "{human}");
}

#[test]
fn a_finding_about_a_whole_file_has_no_place_in_it() {
    let source = Source::new("gone.yaml", "");
    let found = [Diagnostic::error(SYNTAX, "a fact", Span::default(), "")];
    for format in Format::ALL {
        let text = write(&source, &found, format);
        assert!(text.contains("gone.yaml"), "{text}");
        let names_place = ["gone.yaml:", "\"line\":", "line=", "startLine", "region"];
        let named = names_place.iter().find(|it| text.contains(**it));
        let said = (format == Format::Concise).then_some("gone.yaml: error[MCPC1001]: a fact\n");
        let said = said.or((format == Format::Junit).then_some("gone.yaml: a fact<"));
        assert!(
            named.is_none() || said.is_some_and(|said| text.contains(said)),
            "{named:?} {text}"
        );
    }
}
