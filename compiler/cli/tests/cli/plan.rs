//! `mcpc plan`: the same bytes everywhere, files in one step, summaries.

use serde_json::json;

use crate::invocation::{Folder, MISTAKEN, SMALLEST};

const WITH_SECRET: &str = "\
version: 1
servers:
  web:
    url: https://mcp.example.com/mcp
    headers: { Authorization: \"Bearer $<TOKEN>\" }
";

#[test]
fn plan_bytes_depend_on_neither_directory_nor_secrets() {
    let (here, there) = (
        Folder::with_config(WITH_SECRET),
        Folder::with_config(WITH_SECRET),
    );
    std::fs::create_dir(there.path().join("deep")).unwrap();
    let first = here.mcpc(&["plan"]).exits_with(0);
    let path = here.path().join("mcpc.yaml");
    let path = path.to_str().unwrap();
    for arguments in [&["plan", path][..], &["plan", "./mcpc.yaml"]] {
        assert_eq!(here.mcpc(arguments).exits_with(0).out, first.out);
    }
    let mut from_below = there.command(&["plan", "../mcpc.yaml"]);
    let from_below = from_below.current_dir(there.path().join("deep"));
    assert_eq!(from_below.output().unwrap().stdout, first.out);
    for secret in ["tok-first", "tok-second"] {
        let output = there
            .command(&["plan"])
            .env("TOKEN", secret)
            .output()
            .unwrap();
        assert_eq!(output.stdout, first.out);
        assert!(!first.text().contains(secret));
        assert!(!String::from_utf8(output.stderr).unwrap().contains(secret));
    }
}

#[test]
fn a_plan_names_its_file_and_not_the_way_to_it() {
    let folder = Folder::with_config(SMALLEST);
    for name in ["other.yaml", "parts/10-time.yaml", "parts/20-more.yaml"] {
        std::fs::create_dir_all(folder.path().join("parts")).unwrap();
        let text = match name {
            "parts/20-more.yaml" => "servers: { more: { command: x } }\n",
            _ => SMALLEST,
        };
        folder.write(name, text);
    }
    let plan = |of: &str| folder.mcpc(&["plan", of]).exits_with(0).out;
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let parts = plan("parts");
    for way in ["./parts", "parts/", "parts/../parts", &path("parts")] {
        assert_eq!(plan(way), parts, "{way}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(path("parts"), path("linked")).unwrap();
        assert_eq!(plan("linked"), parts);
        // The name that was given is the one that findings and logs show.
        std::os::unix::fs::symlink(path("mcpc.yaml"), path("link.yaml")).unwrap();
        assert_ne!(plan("link.yaml"), plan("mcpc.yaml"));
    }
    let input = folder.mcpc_with_input(&["plan", "-"], SMALLEST.as_bytes());
    let input = input.exits_with(0).out;
    let without_places = |plan: &[u8]| -> serde_json::Value {
        let mut plan: serde_json::Value = serde_json::from_slice(plan).unwrap();
        let members = plan.as_object_mut().unwrap();
        members.remove("digest").unwrap();
        members.remove("provenance").unwrap();
        plan
    };
    let whole = plan("mcpc.yaml");
    for other in [plan("other.yaml"), input] {
        assert_ne!(other, whole);
        assert_eq!(without_places(&other), without_places(&whole));
    }
}

#[test]
fn plan_on_standard_output_verifies_and_ends_with_a_line_break() {
    let ran = Folder::with_config(SMALLEST).mcpc(&["plan"]).exits_with(0);
    let plan = mcpc_plan::Plan::from_bytes(&ran.out).unwrap();
    assert!(ran.out.ends_with(b"}\n"));
    ran.says(plan.digest.as_str()).says("time: a child process");
}

#[test]
fn out_writes_the_same_bytes_in_one_step_and_nothing_to_standard_output() {
    let folder = Folder::with_config(SMALLEST);
    let expected = folder.mcpc(&["plan"]).exits_with(0).out;
    folder.write("plan.json", "the old one");
    let ran = folder.mcpc(&["plan", "--out", "plan.json"]).exits_with(0);
    assert!(ran.out.is_empty());
    assert_eq!(
        std::fs::read(folder.path().join("plan.json")).unwrap(),
        expected
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(
        left.len(),
        2,
        "only the configuration and the plan: {left:?}"
    );
    assert_eq!(
        folder.mcpc(&["plan", "--out", "-"]).exits_with(0).out,
        expected
    );
}

#[test]
fn whatever_keeps_a_plan_from_coming_out_exits_with_1() {
    let folder = Folder::with_config(SMALLEST);
    for target in ["missing/plan.json", "mcpc.yaml/plan.json", "."] {
        let ran = folder.mcpc(&["plan", "--out", target]).exits_with(1);
        ran.says("MCPC0004").says(target);
    }
    folder
        .mcpc(&["plan", "--out", "missing/plan.json"])
        .says("there is no such directory");
    for wrong in [
        &["plan", "--nope"][..],
        &["--color", "never", "plan", "--out"],
        &["--color=never", "plan", "a", "b"],
    ] {
        folder.mcpc(wrong).exits_with(1).says("--help");
    }
    folder.mcpc(&["plan", "--help"]).exits_with(0);
    // The command counts, not a word somewhere.
    folder.mcpc(&["check", "--nope", "plan"]).exits_with(2);
    folder.write("credentials", "no JSON");
    let mut command = folder.command(&["plan"]);
    let output = command.env("MCPC_CREDENTIALS_FILE", "credentials").output();
    assert_eq!(output.unwrap().status.code(), Some(1));
}

#[test]
fn errors_exit_with_1_and_leave_the_old_plan() {
    let folder = Folder::with_config(MISTAKEN);
    folder.write("plan.json", "the old one");
    let ran = folder.mcpc(&["plan", "--out", "plan.json"]).exits_with(1);
    assert!(ran.says("mcpc.yaml:3:11").out.is_empty());
    let kept = std::fs::read(folder.path().join("plan.json")).unwrap();
    assert_eq!(kept, b"the old one");
    folder
        .mcpc(&["plan", "missing.yaml"])
        .exits_with(1)
        .says("MCPC0001");
}

#[test]
fn an_unset_variable_without_default_is_an_error() {
    let text = "version: 1\nlisten: { address: $<ADDRESS> }\nservers: { time: { command: t } }\n";
    let folder = Folder::with_config(text);
    folder.mcpc(&["plan"]).exits_with(1).says("ADDRESS");
    let mut command = folder.command(&["plan"]);
    let output = command.env("ADDRESS", "127.0.0.1:7000").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn summary_names_servers_and_secrets_for_people_and_programs() {
    let folder = Folder::with_config(WITH_SECRET);
    let ran = folder.mcpc(&["plan", "--json"]).exits_with(0);
    let summary = ran.json();
    assert_eq!(summary.get("format_version"), Some(&json!(1)));
    assert_eq!(summary.pointer("/endpoints/0/path"), Some(&json!("/mcp")));
    assert_eq!(
        summary.pointer("/endpoints/0/servers/0/server"),
        Some(&json!("web"))
    );
    assert_eq!(
        summary.pointer("/secrets/0/consumers/0"),
        Some(&json!("servers.web.headers.authorization"))
    );
    ran.says("needs the variable TOKEN for servers.web.headers.authorization");
}

#[test]
fn standard_input_becomes_a_plan() {
    let ran = Folder::new().mcpc_with_input(&["plan", "-"], SMALLEST.as_bytes());
    let ran = ran.exits_with(0);
    assert!(mcpc_plan::Plan::from_bytes(&ran.out).is_ok());
}

#[test]
fn the_plan_to_compare_with_may_come_from_standard_input() {
    let folder = Folder::with_config(SMALLEST);
    let plan = folder.mcpc(&["plan"]).exits_with(0).out;
    folder
        .mcpc_with_input(&["plan", "--against", "-"], &plan)
        .exits_with(0)
        .says("go on: time");
    folder
        .mcpc_with_input(&["plan", "-", "--against", "-"], &plan)
        .exits_with(1)
        .says("`-` is given twice");
    for (against, code) in [("missing", "MCPC0001"), (".", "MCPC0002")] {
        let ran = folder.mcpc(&["plan", "--against", against]).exits_with(1);
        assert!(ran.out.is_empty());
        ran.says(code);
    }
}

#[test]
fn a_link_stays_a_link_and_a_device_is_not_replaced() {
    let folder = Folder::with_config(SMALLEST);
    let expected = folder.mcpc(&["plan"]).exits_with(0).out;
    let target = folder.write("target.json", "the old one");
    let (link, device) = (folder.path().join("link.json"), folder.path().join("null"));
    std::os::unix::fs::symlink("target.json", &link).unwrap();
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    folder.mcpc(&["plan", "--out", "link.json"]).exits_with(0);
    assert!(link.is_symlink());
    assert_eq!(std::fs::read(target).unwrap(), expected);
    folder.mcpc(&["plan", "--out", "null"]).exits_with(0);
    assert!(device.is_symlink());
}

#[test]
fn what_another_plan_opens_and_closes_is_told_for_each_endpoint() {
    let folder = Folder::with_config(
        "version: 1\nservers:\n  \
         notes: { command: mcpc, tools: { allow: [add_note], deny: [\"drop_*\"] }, prompts: { allow: [summary] } }\n",
    );
    folder.mcpc(&["plan", "--out", "old.json"]).exits_with(0);
    folder.write(
        "mcpc.yaml",
        "version: 1\nservers:\n  \
         notes: { command: mcpc, tools: { allow: [add_note, delete_note] }, prompts: { allow: [] } }\n  \
         web: { url: \"https://mcp.example.com/web\", tools: { deny: [fetch] } }\n\
         endpoints:\n  main: { path: /mcp, prefix: \"\", servers: [notes] }\n  \
         web: { path: /web, servers: [web] }\n",
    );
    let ran = folder.mcpc(&["plan", "--against", "old.json", "--json"]);
    let ran = ran.exits_with(2);
    let endpoints = ran.json().pointer("/impact/endpoints").cloned();
    let expected = json!([
        {
            "path": "/mcp",
            "newly": ["tool `delete_note`"],
            "no_longer": ["prompt `summary`"],
            "elsewhere": [],
        },
        {
            "path": "/web",
            "newly": [
                "prompts `*` of server `web`",
                "resources `*` of server `web`",
                "tools `*` of server `web`",
            ],
            "no_longer": [],
            "elsewhere": [],
        },
    ]);
    assert_eq!(endpoints, Some(expected));
    ran.says("  /mcp offers newly: tool `delete_note`\n")
        .says("  /mcp offers no longer: prompt `summary`\n");
}
