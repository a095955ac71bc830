//! `mcpc explain --tool`: where a name goes, and the place of each rule.

use crate::invocation::{Folder, MISTAKEN};

const CONFIG: &str = "\
version: 1
servers:
  notes:
    command: mcpc
    args: [demo, notes]
    tools:
      allow: [add_*, drop]
      deny: [add_secret]
      rename: { add_note: remember }
  clock: { command: mcpc, args: [demo, clock] }
endpoints:
  all: { path: /mcp, prefix: \"{server}.\" }
  time: { path: /time, servers: [clock] }
";

#[test]
fn a_name_is_followed_to_its_server_with_each_rule() {
    let folder = Folder::with_config(CONFIG);
    let ran = folder
        .mcpc(&["explain", "--tool", "notes.remember"])
        .exits_with(0);
    let expected = "\
endpoint all at /mcp: `notes.remember` goes to server `notes`, as `add_note`
  mcpc.yaml:3: the endpoint has server `notes`
  mcpc.yaml:12: names of the server begin with `notes.`
  mcpc.yaml:9: the server's `add_note` is exposed as `remember`
  mcpc.yaml:7: `add_note` is allowed

endpoint time at /time: `notes.remember` goes to server `clock`, as `notes.remember`, if it has that tool
  mcpc.yaml:13: the endpoint has server `clock`
  by default: there is no `allow`, so every name is allowed
";
    assert_eq!(ran.text(), expected);
}

#[test]
fn a_refused_name_is_told_with_the_rule_that_refuses_it() {
    let folder = Folder::with_config(CONFIG);
    for (tool, why) in [
        (
            "notes.add_secret",
            "mcpc.yaml:8: `add_secret` of server `notes` is denied",
        ),
        (
            "notes.add_note",
            "mcpc.yaml:9: `add_note` of server `notes` is exposed as `remember` only",
        ),
        (
            "notes.find",
            "mcpc.yaml:7: no entry of `allow` is about `find` of server `notes`",
        ),
        (
            "remember",
            "mcpc.yaml:12: `remember` does not begin with `notes.`, as all names of server `notes` do",
        ),
    ] {
        for endpoint in ["all", "/mcp"] {
            let arguments = [
                "explain",
                "--tool",
                tool,
                "--endpoint",
                endpoint,
                "mcpc.yaml",
            ];
            let ran = folder.mcpc(&arguments).exits_with(1);
            let head = format!("endpoint all at /mcp: `{tool}` is refused\n");
            assert!(ran.text().starts_with(&head), "{}", ran.text());
            assert!(ran.text().contains(why), "{}", ran.text());
        }
    }
}

#[test]
fn what_cannot_be_explained_says_so() {
    let folder = Folder::with_config(CONFIG);
    let explain = |more: &[&str]| folder.mcpc(&[&["explain", "--tool", "x"], more].concat());
    explain(&["--endpoint", "gone"])
        .exits_with(2)
        .says("no endpoint has the name or the path `gone`");
    explain(&["--as", "ci"])
        .exits_with(2)
        .says("no caller has a name yet");
    explain(&["missing.yaml"]).exits_with(2).says("MCPC0001");
    folder.write("mistaken.yaml", MISTAKEN);
    explain(&["mistaken.yaml"])
        .exits_with(1)
        .says("mistaken.yaml:3:11");
    let piped = folder.mcpc_with_input(&["explain", "--tool", "x", "-"], CONFIG.as_bytes());
    assert!(piped.exits_with(0).text().contains("<stdin>:13"));
}
