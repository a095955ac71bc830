//! A plan is refused for each rule that it breaks, and for every byte that was changed.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the plan of these tests is known"
)]

use std::collections::BTreeMap;

use mcpc_plan::{
    Access, AdminListener, Breaker, ContentKey, Digest, Endpoint, Era, ExactRoute, FORMAT,
    Fallback, Health, HttpTransport, Limits, Listener, Member, MemberId, Names, Network, OpenRoute,
    Part, Pattern, Plan, PlanError, ProcessLimits, Rename, Replica, Replicated, Restart, Retry,
    Routes, Sandbox, Scheme, SecretUse, Source, Start, StartWhen, StdioTransport, Template,
    Timeouts, Transport, Upstream, UpstreamId, Uris,
};

fn patterns(texts: &[&str]) -> Box<[Pattern]> {
    Pattern::sorted(texts.iter().map(|text| Pattern::new(text)))
}

fn upstream(name: &str, transport: Transport) -> Upstream {
    Upstream {
        name: name.into(),
        key: ContentKey::of(&transport, Era::Auto),
        transport,
        era: Era::Auto,
        timeouts: Timeouts {
            connect_ms: 1,
            first_byte_ms: 2,
            idle_ms: 3,
            total_ms: 4,
            list_ms: 4,
        },
        breaker: None,
        health: None,
        retry: None,
        private: None,
    }
}

fn upstreams() -> Box<[Upstream]> {
    let reference = |name: &str| Part::Reference {
        source: Source::Variable(name.into()),
        default: None,
        message: Some("ask the operators".into()),
    };
    let docs = Transport::Http(HttpTransport {
        scheme: Scheme::Https,
        host: "docs.example.com".into(),
        port: 443,
        authority: "docs.example.com".into(),
        path: "/mcp".into(),
        headers: [(
            "authorization".into(),
            Template([Part::Text("Bearer ".into()), reference("DOCS_TOKEN")].into()),
        )]
        .into(),
    });
    let time = Transport::Stdio(StdioTransport {
        command: "time".into(),
        args: ["--utc".into()].into(),
        env: [("LEVEL".into(), Template([reference("LEVEL")].into()))].into(),
        cwd: None,
        limits: ProcessLimits {
            memory_bytes: Some(1 << 20),
            open_files: Some(8),
            processes: Some(1),
            cpu_percent: Some(100_000),
        },
        sandbox: Some(sandbox(&["/a", "/b"])),
        start: Start {
            timeout_ms: 5,
            when: StartWhen::Lazy,
        },
        restart: Restart {
            at_most: 0,
            within_ms: 1,
            backoff_from_ms: 1,
            backoff_to_ms: 1,
        },
    });
    [upstream("docs", docs), upstream("time", time)].into()
}

fn sandbox(paths: &[&str]) -> Sandbox {
    Sandbox {
        read: paths.iter().map(|path| (*path).into()).collect(),
        write: paths.iter().map(|path| (*path).into()).collect(),
        network: Network::None,
    }
}

fn member(index: usize, prefix: &str, tools: Names) -> Member {
    Member {
        upstream: UpstreamId::new(index).unwrap(),
        prefix: prefix.into(),
        tools,
        prompts: Names::default(),
        resources: Uris::default(),
    }
}

fn open(prefix: &str, index: usize) -> OpenRoute {
    OpenRoute {
        prefix: prefix.into(),
        member: MemberId::new(index).unwrap(),
    }
}

fn exact(exposed: &str, index: usize, name: &str) -> ExactRoute {
    ExactRoute {
        exposed: exposed.into(),
        member: MemberId::new(index).unwrap(),
        name: name.into(),
    }
}

fn endpoint() -> Endpoint {
    let docs = Names {
        allow: Some(patterns(&["search", "fetch"])),
        deny: patterns(&[]),
        rename: [Rename {
            from: "fetch".into(),
            to: "get".into(),
        }]
        .into(),
    };
    let time = Names {
        allow: None,
        deny: patterns(&["secret_*"]),
        rename: Box::default(),
    };
    Endpoint {
        name: "main".into(),
        path: "/mcp".into(),
        instructions: None,
        members: [member(0, "docs__", docs), member(1, "time__", time)].into(),
        tools: Routes {
            exact: [
                exact("docs__get", 0, "fetch"),
                exact("docs__search", 0, "search"),
            ]
            .into(),
            open: [open("time__", 1)].into(),
        },
        prompts: Routes {
            exact: Box::default(),
            open: [open("docs__", 0), open("time__", 1)].into(),
        },
    }
}

fn plan() -> Plan {
    let upstreams = upstreams();
    Plan {
        format: FORMAT,
        digest: Digest::unsealed(),
        listener: Listener {
            address: ([127, 0, 0, 1], 8080).into(),
            hosts: ["a.example.com".into(), "b.example.com".into()].into(),
            allow_anonymous: false,
        },
        admin: AdminListener {
            address: ([127, 0, 0, 1], 8081).into(),
            allow_anonymous: false,
        },
        endpoints: [endpoint()].into(),
        secrets: SecretUse::of(&upstreams),
        upstreams,
        access: Access::Open,
        limits: Limits {
            body_bytes: 1,
            reply_bytes: 1,
            head_bytes: 1,
            headers: 1,
            nesting: 1,
            sessions: 1,
            session_idle_ms: 1,
            private_upstreams: Limits::PRIVATE_UPSTREAMS,
            calls: Limits::CALLS,
            starts: Limits::STARTS,
            memory_bytes: None,
            unacknowledged_ms: Limits::UNACKNOWLEDGED_MS,
            connections: 1,
            streams: 1,
            list_pages: 1,
            list_items: 1,
            grace_ms: 1,
        },
        fallback: Fallback::None,
        provenance: BTreeMap::from([("servers.docs".into(), "mcpc.yaml:3".into())]),
    }
}

fn sealed() -> Plan {
    plan().seal().unwrap()
}

/// What is said about the plan after an edit that came with a new digest.
fn rule_after(edit: impl FnOnce(&mut Plan)) -> Result<(), PlanError> {
    let mut plan = plan();
    edit(&mut plan);
    plan.seal().unwrap().verify()
}

#[test]
fn a_whole_plan_verifies_and_comes_back_from_its_bytes() {
    let plan = sealed();
    assert_eq!(plan.verify(), Ok(()));
    let bytes = plan.to_bytes().unwrap();
    assert_eq!(Plan::from_bytes(&bytes).as_ref(), Ok(&plan));
    assert_eq!(Plan::from_bytes(&bytes).unwrap().to_bytes(), Ok(bytes));
}

#[test]
fn a_seal_gives_upstreams_the_keys_that_they_lack() {
    let whole = sealed();
    let mut unsealed = plan();
    for upstream in &mut unsealed.upstreams {
        upstream.key = ContentKey::unsealed();
    }
    assert_eq!(unsealed.verify_contents(), Ok(()));
    let mut keyless = whole.clone();
    keyless.upstreams[0].key = ContentKey::unsealed();
    assert_eq!(keyless.verify(), Err(PlanError::Digest));
    assert_eq!(unsealed.seal(), Ok(whole));
}

#[test]
fn no_changed_byte_gives_another_plan() {
    let plan = sealed();
    let bytes = plan.to_bytes().unwrap();
    let others = [b' ', b'0', b'9', b'a', b'"', b',', b'\\', 0xff];
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut one_bit = bytes.clone();
        one_bit[at] ^= 1;
        let mut another = bytes.clone();
        another[at] = others[at % others.len()];
        for changed in [one_bit, another] {
            match Plan::from_bytes(&changed) {
                Ok(read) => assert_eq!(read, plan, "byte {at}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > bytes.len(), "{refused}");
}

/// Values in place of others, whole and torn bytes: what comes out is a whole plan or a reason.
#[test]
fn no_bytes_are_a_plan_that_does_not_verify() {
    const VALUES: [&str; 12] = [
        "null",
        "true",
        "-1",
        "0",
        "1.5",
        "1e999",
        "18446744073709551616",
        "\"\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "[[[[[[[[",
    ];
    let text = String::from_utf8(sealed().to_bytes().unwrap()).unwrap();
    let starts = text.match_indices([':', '[', ',']).map(|(at, _)| at + 1);
    let (mut refused, mut read) = (0, 0);
    for start in starts {
        let end = text[start..]
            .find([',', ']', '}'])
            .map_or(text.len(), |end| start + end);
        for value in VALUES {
            let replaced = format!("{}{value}{}", &text[..start], &text[end..]);
            let torn = &replaced[..start + value.len()];
            for bytes in [replaced.as_bytes(), torn.as_bytes()] {
                match Plan::from_bytes(bytes) {
                    Ok(plan) => {
                        assert_eq!(plan.verify(), Ok(()));
                        read += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(
        refused > 1000 && read < refused,
        "{refused} refused, {read} read"
    );
    let deep = "[".repeat(1_000_000);
    assert_eq!(Plan::from_bytes(deep.as_bytes()), Err(PlanError::NotJson));
}

#[test]
fn every_part_of_a_plan_is_under_the_digest() {
    let digest = sealed().digest;
    let edits: [fn(&mut Plan); 6] = [
        |plan| plan.listener.address.set_port(1),
        |plan| plan.limits.grace_ms = 2,
        |plan| plan.endpoints[0].name = "other".into(),
        |plan| plan.upstreams[0].timeouts.list_ms = 3,
        |plan| plan.provenance.clear(),
        |plan| plan.secrets[0].required = false,
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let mut changed = plan();
        edit(&mut changed);
        let resealed = changed.clone().seal().unwrap();
        assert_ne!(resealed.digest, digest, "{index}");
        changed.digest = digest.clone();
        assert_eq!(changed.verify(), Err(PlanError::Digest), "{index}");
    }
}

type Edit = fn(&mut Plan);

/// How the reason starts, and what brings it about.
const CONTRADICTIONS: [(&str, Edit); 24] = [
    ("the listener is open", |plan| {
        plan.listener.address = ([0, 0, 0, 0], 1).into();
    }),
    ("the admin listener is open", |plan| {
        plan.admin.address = ([10, 0, 0, 1], 1).into();
    }),
    ("hosts are not sorted", |plan| plan.listener.hosts.reverse()),
    ("a limit is zero", |plan| plan.limits.nesting = 0),
    ("a limit is zero", |plan| plan.limits.grace_ms = 0),
    ("a limit is larger", |plan| {
        plan.limits.body_bytes = u64::MAX / 2;
    }),
    ("there is no upstream", |plan| {
        plan.upstreams = Box::default();
    }),
    ("upstreams are not sorted", |plan| plan.upstreams.reverse()),
    ("an upstream's key", |plan| {
        plan.upstreams[0].era = Era::Legacy;
    }),
    ("a timeout is zero or longer", |plan| {
        plan.upstreams[0].timeouts.idle_ms = 5;
    }),
    ("the secrets are not those", |plan| {
        plan.secrets = Box::default();
    }),
    ("there is no endpoint", |plan| {
        plan.endpoints = Box::default();
    }),
    ("an endpoint's path", |plan| {
        plan.endpoints[0].path = "mcp".into();
    }),
    ("an endpoint has no member", |plan| {
        plan.endpoints[0].members = Box::default();
    }),
    ("a member names an upstream", |plan| {
        plan.endpoints[0].members[0].upstream = UpstreamId::new(2).unwrap();
    }),
    ("patterns are not sorted", |plan| {
        let allow = plan.endpoints[0].members[0].tools.allow.as_mut();
        allow.unwrap().reverse();
    }),
    ("new names are not sorted or one is empty", |plan| {
        plan.endpoints[0].members[0].tools.rename[0].to = "".into();
    }),
    ("routes are not sorted", |plan| {
        plan.endpoints[0].tools.exact.reverse();
    }),
    ("prefixes are not sorted", |plan| {
        plan.endpoints[0].prompts.open.reverse();
    }),
    ("a route names a member", |plan| {
        plan.endpoints[0].tools.exact[0].name = "gone".into();
    }),
    ("a prefix names a member", |plan| {
        plan.endpoints[0].tools.open[0].member = MemberId::new(7).unwrap();
    }),
    ("one prefix starts another one", |plan| {
        plan.endpoints[0].members[1].prefix = "docs__x".into();
        plan.endpoints[0].tools.open = [open("docs__x", 1)].into();
        plan.endpoints[0].prompts.open = [open("docs__", 0), open("docs__x", 1)].into();
    }),
    ("a known name could belong", |plan| {
        plan.endpoints[0].members[1].prefix = "docs__g".into();
        plan.endpoints[0].tools.open = [open("docs__g", 1)].into();
    }),
    ("a known name has no route", |plan| {
        plan.endpoints[0].tools.exact = [exact("docs__search", 0, "search")].into();
    }),
];

#[test]
fn a_plan_that_contradicts_itself_is_refused_for_its_reason() {
    for (start, edit) in CONTRADICTIONS {
        match rule_after(edit) {
            Err(PlanError::Inconsistent { rule }) => assert!(rule.starts_with(start), "{rule}"),
            other => assert!(other.is_err() && start.is_empty(), "{start}: {other:?}"),
        }
    }
}

/// A plan of which the first upstream has these replicas: host, weight, and whether it is a backup.
fn replicated(replicas: &[(&str, u32, bool)]) -> Result<(), PlanError> {
    rule_after(|plan| {
        let Transport::Http(http) = plan.upstreams[0].transport.clone() else {
            unreachable!("the first upstream is reached over HTTP");
        };
        let replica = |&(host, weight, is_backup): &(&str, u32, bool)| Replica {
            key: ContentKey::unsealed(),
            http: HttpTransport {
                host: host.into(),
                ..http.clone()
            },
            weight,
            is_backup,
        };
        let upstream = &mut plan.upstreams[0];
        upstream.transport = Transport::Replicated(Replicated {
            replicas: replicas.iter().map(replica).collect(),
            balance: mcpc_plan::Balance::default(),
        });
        upstream.key = ContentKey::unsealed();
    })
}

#[test]
fn replicas_are_several_and_different_and_one_of_them_is_used() {
    assert_eq!(replicated(&[("a", 1, false), ("b", 1000, true)]), Ok(()));
    for bad in [
        &[("a", 1, false)][..],
        &[("a", 1, false), ("a", 2, true)],
        &[("a", 1, true), ("b", 1, true)],
        &[("a", 0, false), ("b", 1, false)],
        &[("a", 1001, false), ("b", 1, false)],
        &[("a", 1, false), ("", 1, false)],
    ] {
        let refused = replicated(bad);
        assert!(
            matches!(refused, Err(PlanError::Inconsistent { .. })),
            "{bad:?}: {refused:?}"
        );
    }
}

#[test]
fn a_breaker_counts_something_within_some_time() {
    let with = |failures, within_ms, (open_for_ms, open_for_ms_max), share| {
        rule_after(|plan| {
            plan.upstreams[0].breaker = Some(Breaker {
                failures,
                within_ms,
                open_for_ms,
                open_for_ms_max: Some(open_for_ms_max),
                replicas_percent_max: Some(share),
            });
        })
    };
    assert_eq!(with(1, 1, (1, 1), 1), Ok(()));
    assert_eq!(with(1000, 1, (1, 2), 100), Ok(()));
    for (failures, within_ms, open_for_ms, share) in [
        (0, 1, (1, 1), 100),
        (1001, 1, (1, 1), 100),
        (1, 0, (1, 1), 100),
        (1, 1, (0, 1), 100),
        (1, 1, (2, 1), 100),
        (1, 1, (1, 1), 0),
        (1, 1, (1, 1), 101),
    ] {
        let refused = with(failures, within_ms, open_for_ms, share);
        assert!(
            matches!(refused, Err(PlanError::Inconsistent { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn an_upstream_is_asked_now_and_then_and_judged_by_some_answer() {
    let with = |every_ms, timeout_ms, failures, successes| {
        rule_after(|plan| {
            plan.upstreams[0].health = Some(Health {
                every_ms,
                timeout_ms,
                failures,
                successes,
            });
        })
    };
    assert_eq!(with(1, 1, 1, 1), Ok(()));
    assert_eq!(with(1, 1, 1000, 1000), Ok(()));
    for (every_ms, timeout_ms, failures, successes) in [
        (0, 1, 1, 1),
        (1, 0, 1, 1),
        (1, 1, 0, 1),
        (1, 1, 1, 0),
        (1, 1, 1001, 1),
        (1, 1, 1, 1001),
    ] {
        let refused = with(every_ms, timeout_ms, failures, successes);
        assert!(
            matches!(refused, Err(PlanError::Inconsistent { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_retry_sends_something_again_and_not_for_ever() {
    let with = |attempts, budget_percent| {
        rule_after(|plan| {
            plan.upstreams[0].retry = Some(Retry {
                attempts,
                budget_percent,
            });
        })
    };
    assert_eq!(with(2, 1), Ok(()));
    assert_eq!(with(10, 100), Ok(()));
    for (attempts, budget_percent) in [(1, 1), (11, 1), (2, 0), (2, 101)] {
        let refused = with(attempts, budget_percent);
        assert!(
            matches!(refused, Err(PlanError::Inconsistent { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn what_cannot_start_or_be_sent_is_refused() {
    let with = |transport: Transport| {
        rule_after(|plan| {
            plan.upstreams[0] = upstream("docs", transport);
            plan.secrets = SecretUse::of(&plan.upstreams);
        })
    };
    let http = |edit: fn(&mut HttpTransport)| match upstreams()[0].transport.clone() {
        Transport::Http(mut http) => {
            edit(&mut http);
            Transport::Http(http)
        }
        other @ (Transport::Stdio(_) | Transport::Replicated(_)) => other,
    };
    let stdio = |edit: fn(&mut StdioTransport)| match upstreams()[1].transport.clone() {
        Transport::Stdio(mut stdio) => {
            edit(&mut stdio);
            Transport::Stdio(stdio)
        }
        other @ (Transport::Http(_) | Transport::Replicated(_)) => other,
    };
    assert_eq!(with(http(|_| ())), Ok(()));
    assert_eq!(with(stdio(|_| ())), Ok(()));
    for transport in [
        http(|http| http.host = "".into()),
        http(|http| http.port = 0),
        http(|http| http.path = "mcp".into()),
        http(|http| http.path = "/a\r\nx: y".into()),
        http(|http| http.authority = "a b".into()),
        http(|http| http.headers[0].0 = "Authorization".into()),
        http(|http| http.headers[0].0 = "a:b".into()),
        http(|http| http.headers[0].1 = Template(Box::default())),
        stdio(|stdio| stdio.command = "".into()),
        stdio(|stdio| stdio.args[0] = "a\0b".into()),
        stdio(|stdio| stdio.env[0].0 = "A=B".into()),
        stdio(|stdio| stdio.limits.memory_bytes = Some((1 << 20) - 1)),
        stdio(|stdio| stdio.limits.open_files = Some(7)),
        stdio(|stdio| stdio.limits.processes = Some(0)),
        stdio(|stdio| stdio.limits.cpu_percent = Some(0)),
        stdio(|stdio| stdio.limits.cpu_percent = Some(100_001)),
        stdio(|stdio| stdio.sandbox = Some(sandbox(&[""]))),
        stdio(|stdio| stdio.sandbox = Some(sandbox(&["a\0b"]))),
        stdio(|stdio| stdio.sandbox = Some(sandbox(&["/b", "/a"]))),
        stdio(|stdio| stdio.start.timeout_ms = 0),
        stdio(|stdio| stdio.restart.within_ms = 0),
        stdio(|stdio| stdio.restart.backoff_from_ms = 2),
    ] {
        let refused = with(transport.clone());
        assert!(
            matches!(refused, Err(PlanError::Inconsistent { .. })),
            "{transport:?}"
        );
    }
}

#[test]
fn bytes_that_are_no_plan_are_told_apart() {
    let text = String::from_utf8(sealed().to_bytes().unwrap()).unwrap();
    for (text, code) in [
        (String::new(), "MCPC8001"),
        ("version: 1".to_owned(), "MCPC8001"),
        ("[]".to_owned(), "MCPC8001"),
        ("{}".to_owned(), "MCPC8001"),
        ("{\"format\":2}".to_owned(), "MCPC8002"),
        ("{\"format\":1}".to_owned(), "MCPC8003"),
        (
            text.replace("\"grace_ms\":1", "\"grace_ms\":1.5"),
            "MCPC8003",
        ),
        (
            text.replace("\"grace_ms\":1", "\"grace_ms\":1,\"more\":1"),
            "MCPC8003",
        ),
        (text.replace("\"grace_ms\":1", "\"grace_ms\":2"), "MCPC8004"),
    ] {
        let refused = Plan::from_bytes(text.as_bytes()).map_err(|error| error.code());
        assert_eq!(refused, Err(code), "{text}");
    }
    assert_eq!(Plan::from_bytes(&[0xff]), Err(PlanError::NotJson));
}

#[test]
fn names_go_where_they_came_from() {
    let endpoint = endpoint();
    let find = |name| {
        endpoint
            .find_tool(name)
            .map(|found| (found.member.index(), found.name))
    };
    assert_eq!(find("docs__get"), Some((0, "fetch")));
    assert_eq!(find("docs__fetch"), None);
    assert_eq!(find("docs__other"), None);
    assert_eq!(find("time__now"), Some((1, "now")));
    assert_eq!(find("time__secret_x"), None);
    assert_eq!(find("time__"), None);
    assert_eq!(find("time"), None);
    assert_eq!(find(""), None);
    let prompt = endpoint.find_prompt("docs__ask").map(|found| found.name);
    assert_eq!(prompt, Some("ask"));
}

#[test]
fn a_new_name_hides_the_own_name_that_is_the_same() {
    let names = Names {
        allow: None,
        deny: Box::default(),
        rename: [
            Rename {
                from: "a".into(),
                to: "b".into(),
            },
            Rename {
                from: "c".into(),
                to: "d".into(),
            },
            Rename {
                from: "d".into(),
                to: "e".into(),
            },
        ]
        .into(),
    };
    let expose = |name| names.expose("p_", name).map(std::borrow::Cow::into_owned);
    assert_eq!(expose("a").as_deref(), Some("p_b"));
    assert_eq!(expose("b"), None);
    assert_eq!(expose("c").as_deref(), Some("p_d"));
    assert_eq!(expose("d").as_deref(), Some("p_e"));
    assert_eq!(expose("x").as_deref(), Some("p_x"));
    assert_eq!(expose(""), None);
}
