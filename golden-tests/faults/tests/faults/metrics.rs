//! The metrics page of a gateway process: every family is there, and its numbers are what has happened.

use std::collections::BTreeSet;

use mcpc_dataplane::FAMILIES;
use mcpc_faults::HttpServer;
use mcpc_process::{exchange, until};

use crate::stage::{FAULTY, Stage};

/// The value of a series.
#[track_caller]
fn value(page: &str, series: &str) -> f64 {
    let mut lines = page.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| unreachable!("no {series}: {page}"))
        .parse()
        .unwrap()
}

#[track_caller]
fn counts(page: &str, series: &str, count: u32) {
    let found = value(page, series);
    assert!(
        (found - f64::from(count)).abs() < 0.5,
        "{series} is {found}"
    );
}

fn config(server: &HttpServer, other: &HttpServer) -> String {
    format!(
        "limits: {{ memory: 4GiB }}\n\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n  \
         child: {{ command: {FAULTY:?}, era: modern, restart: {{ backoff: {{ from: 1ms, to: 1ms }} }} }}\n  \
         web:\n    era: modern\n    health: {{ every: 50ms }}\n    retry: {{ attempts: 2, budget: 50% }}\n    \
         breaker: {{ failures: 2, within: 1m, open_for: 1h }}\n    replicas:\n      \
         - {{ url: \"http://{}/mcp\" }}\n      - {{ url: \"http://{}/mcp\", backup: true }}\n",
        server.address, other.address
    )
}

#[test]
fn the_page_tells_what_has_happened() {
    let server = || HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let (one, other) = (server(), server());
    let stage = Stage::open(&config(&one, &other));
    until("all are ready", || {
        let status = stage.gateway.upstream("web");
        let mut replicas = status["replicas"].as_array().unwrap().iter();
        replicas.all(|replica| replica["health"]["asked"].as_u64() >= Some(1))
    });
    let mut client = stage.client();
    for mark in 0..7 {
        client.echoes("child.echo", mark);
    }
    client.echoes("web.echo", 7);
    client.fails("child.die", &["MCPC9306"]);
    client.fails("web.garbage", &["MCPC9307"]);
    client.fails("web.garbage", &["MCPC9307"]);
    client.echoes("child.echo", 8);
    stage.replace_bytes(b"no plan");
    until("the refusal is known", || {
        stage.gateway.status()["refused"].is_object()
    });

    let page = stage.gateway.page("/metrics");
    every_family_is_there(&page);
    everything_is_counted(&page, &one);
    // The older form is for all; who asks for the newer one gets it.
    let admin = stage.gateway.admin;
    let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n{accept}Connection: close\r\n\r\n");
    let open = exchange(admin, &request);
    assert!(open.contains("application/openmetrics-text"), "{open}");
    assert!(open.trim_end().ends_with("# EOF"), "{open}");
    assert!(open.contains("# TYPE mcpc_calls counter\nmcpc_calls_total 12\n"));
    stage.gateway.stop();
}

#[track_caller]
fn every_family_is_there(page: &str) {
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(page.to_lowercase().contains(kind), "{page}");
    let there: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let all: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(there, all);
}

#[track_caller]
fn everything_is_counted(page: &str, one: &HttpServer) {
    counts(page, "mcpc_calls_total", 12);
    counts(page, "mcpc_calls_failed_total", 3);
    let child = "{server=\"child\"}";
    // What the gateway asks by itself, such as for lists, is counted too.
    let answers = value(
        page,
        &format!("mcpc_upstream_call_duration_seconds_count{child}"),
    );
    assert!((8.0..15.0).contains(&answers), "{answers}");
    counts(page, &format!("mcpc_upstream_calls_failed_total{child}"), 1);
    counts(page, &format!("mcpc_upstream_restarts_total{child}"), 1);
    counts(
        page,
        "mcpc_upstream_state{server=\"child\",state=\"ready\"}",
        1,
    );
    counts(
        page,
        "mcpc_upstream_state{server=\"child\",state=\"down\"}",
        0,
    );
    let first = format!("server=\"web\",replica=\"{}/mcp\"", one.address);
    counts(
        page,
        &format!("mcpc_upstream_breaker_state{{{first},state=\"open\"}}"),
        1,
    );
    counts(
        page,
        &format!("mcpc_upstream_breaker_openings_total{{{first}}}"),
        1,
    );
    counts(page, &format!("mcpc_upstream_healthy{{{first}}}"), 1);
    counts(
        page,
        "mcpc_upstream_retries_total{server=\"web\",outcome=\"sent\"}",
        0,
    );
    counts(page, "mcpc_reloads_total{outcome=\"refused\"}", 1);
    counts(page, "mcpc_plan_refused", 1);
    counts(page, "mcpc_shedding_stage", 0);
    counts(page, "mcpc_connections", 1);
    assert!(value(page, "process_resident_memory_bytes") > 1e6);
    assert!(value(page, "process_open_fds") > 5.0);
}
