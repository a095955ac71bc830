//! `mcpc reload`, `mcpc rollback` and `mcpc plan --against`: what a reload does, asked before and after.

use serde_json::{Value, json};

use crate::invocation::Folder;
use mcpc_process::Running;

/// One server that ships with `mcpc`, under this name and with this prefix.
fn config(servers: &str) -> String {
    format!(
        "version: 1\nlisten: {{ address: 127.0.0.1:0 }}\nadmin: {{ address: 127.0.0.1:0 }}\nservers:\n{servers}"
    )
}

const NOTES: &str = "  notes: { command: mcpc, args: [demo, notes] }\n";
const CLOCK: &str = "  clock: { command: mcpc, args: [demo, clock] }\n";
const CLOCK_WITH_VARIABLE: &str =
    "  clock: { command: mcpc, args: [demo, clock], env: { LEVEL: low } }\n";

#[test]
fn a_rollback_brings_the_server_back_and_a_reload_takes_it_away_again() {
    let folder = Folder::with_config(&config(&format!("{NOTES}{CLOCK}")));
    let mut served = Running::start(&mut folder.command(&["run", "--no-watch"]));
    served.hears("exposes 7 tools");
    served.call("notes__add_note", &json!({ "title": "kept", "text": "b" }));
    let admin = served.admin.to_string();
    let asks = |what: &str, exit: i32, told: &str| {
        let ran = folder.mcpc(&[what, "--admin", &admin]).exits_with(exit);
        assert!(ran.text().contains(told), "{}", ran.text());
    };
    asks("rollback", 1, "MCPC9612");

    folder.write("mcpc.yaml", config(NOTES));
    asks("reload", 0, "live     ");
    let line = served.hears("the new plan is live");
    assert!(
        line.contains("kept=1 started=0 stopped=1 stops=\"clock\""),
        "{line}"
    );
    asks("rollback", 0, "MCPC9610");
    let line = served.hears("the plan before it is live again");
    assert!(
        line.contains("kept=1 started=1 stopped=0 starts=\"clock\""),
        "{line}"
    );
    let notes = served.call("notes__list_notes", &json!({}));
    assert!(notes.contains("2: kept"), "the same process: {notes}");
    asks("status", 1, "rolled back: not what it holds now");

    folder.write("mcpc.yaml", "version: 1\nservers: []\n");
    asks("reload", 1, "nothing has changed");
    served.stop();
    asks("reload", 2, "");
}

#[test]
fn the_impact_of_a_plan_is_told_before_it_goes_live() {
    let folder = Folder::with_config(&config(&format!("{NOTES}{CLOCK}")));
    folder.mcpc(&["plan", "--out", "old.json"]).exits_with(0);
    let against = ["plan", "--against", "old.json", "--out", "new.json"];
    folder
        .mcpc(&against)
        .exits_with(0)
        .says("  go on: clock, notes\n");
    // Written in other places, it does the same.
    folder.write(
        "mcpc.yaml",
        format!("# two servers\n{}", config(&format!("{NOTES}{CLOCK}"))),
    );
    folder.mcpc(&against).exits_with(0);

    let other = "  search: { command: mcpc, args: [demo, notes, other] }\n";
    folder.write(
        "mcpc.yaml",
        config(&format!("{other}{CLOCK_WITH_VARIABLE}")),
    );
    folder
        .mcpc(&against)
        .exits_with(2)
        .says("  start: search\n  start anew: clock\n  stop: notes\n");
    // The same process under another name goes on.
    folder.write("mcpc.yaml", config(&NOTES.replace("notes:", "memos:")));
    let ran = folder
        .mcpc(&["plan", "--against", "old.json", "--json"])
        .exits_with(2);
    let summary: Value = serde_json::from_slice(&ran.out).unwrap();
    let expected = json!({
        "stays": ["memos"], "starts": [], "restarts": [], "joins": [], "stops": ["clock"],
        "needs_restart": false,
        "endpoints": [{
            "path": "/mcp",
            "newly": [
                "prompts `*` of server `memos`",
                "resources `*` of server `memos`",
                "tools `*` of server `memos`",
            ],
            "no_longer": [
                "prompts `clock__*` of server `clock`",
                "prompts `notes__*` of server `notes`",
                "resources `*` of server `clock`",
                "resources `*` of server `notes`",
                "tools `clock__*` of server `clock`",
                "tools `notes__*` of server `notes`",
            ],
            "elsewhere": [],
        }],
    });
    assert_eq!(summary.get("impact"), Some(&expected));
    folder.write("old.json", "{");
    folder.mcpc(&against).exits_with(1).says("MCPC8001");
}

/// Two servers that are reached in the same way are two processes as long as they are watched by other rules.
#[test]
fn a_server_that_comes_to_share_anothers_process_is_told_to_lose_its_own() {
    let x = "  x: { command: mcpc, args: [demo, notes] }\n";
    let watched = "breaker: { failures: 5, within: 30s, open_for: 5s }";
    let with_breaker =
        |name: &str| format!("  {name}: {{ command: mcpc, args: [demo, notes], {watched} }}\n");
    let apart = config(&format!("{x}{}", with_breaker("y")));
    let alike = config(&format!("{}{}", with_breaker("x"), with_breaker("y")));
    let renamed = config(&with_breaker("z"));
    let moved = config(&with_breaker("x"));
    let folder = Folder::with_config(&apart);
    folder.mcpc(&["plan", "--out", "apart.json"]).exits_with(0);
    for (edit, told) in [
        (&alike, "  go on: y\n  join another: x\n"),
        // What was another's under the name of one that is still there: its own ends, and nothing of the other.
        (&moved, "  join another: x\n"),
        (&renamed, "  go on: z\n  stop: x\n"),
    ] {
        folder.write("mcpc.yaml", edit);
        let against = ["plan", "--against", "apart.json", "--out", "new.json"];
        folder
            .mcpc(&against)
            .exits_with(2)
            .says(&format!("in place of the other plan\n{told}  "));
    }

    folder.write("mcpc.yaml", &apart);
    let mut served = Running::start(&mut folder.command(&["run", "--no-watch"]));
    served.hears("exposes");
    served.call("x__add_note", &json!({ "title": "of x", "text": "t" }));
    served.call("y__add_note", &json!({ "title": "of y", "text": "t" }));
    let admin = served.admin.to_string();
    for (edit, told) in [
        (&alike, "kept=1 started=0 stopped=1 joins=\"x\""),
        (&apart, "kept=1 started=1 stopped=0 restarts=\"x\""),
    ] {
        folder.write("mcpc.yaml", edit);
        folder.mcpc(&["reload", "--admin", &admin]).exits_with(0);
        let line = served.hears("the new plan is live");
        assert!(line.contains(told), "{line}");
        let of_x = served.call("x__list_notes", &json!({}));
        assert!(!of_x.contains("of x"), "its own is gone: {of_x}");
        assert_eq!(of_x.contains("of y"), edit == &alike, "{of_x}");
        let of_y = served.call("y__list_notes", &json!({}));
        assert!(of_y.contains("of y"), "{of_y}");
    }
    served.stop();
}
