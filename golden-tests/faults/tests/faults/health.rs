//! Servers that are asked whether they are there, without any call.
//!
//! Who does not answer gets no calls while another one does, and is used again by itself. Nobody is started
//! to be asked, no session is lost by it, and a server that is the only one goes on being called.

use mcpc_faults::HttpServer;
use mcpc_process::until;
use serde_json::Value;

use crate::stage::{Caller, FAULTY, Stage};

const HEALTH: &str = "health: { every: 50ms, timeout: 1s, failures: 2, successes: 2 }";

fn server() -> HttpServer {
    HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap()
}

fn healthy(stage: &Stage, replica: usize) -> Value {
    stage.gateway.upstream("web")["replicas"][replica]["health"]["healthy"].clone()
}

#[test]
fn an_unhealthy_replica_gets_no_calls_until_it_answers_again() {
    for era in ["modern", "legacy"] {
        let servers = [server(), server()];
        let [one, other] = &servers;
        let stage = Stage::open(&format!(
            "servers:\n  web:\n    era: {era}\n    {HEALTH}\n    replicas:\n\
             \x20     - {{ url: \"http://{}/mcp\" }}\n\
             \x20     - {{ url: \"http://{}/mcp\", backup: true }}\n",
            one.address, other.address
        ));
        until("both are asked", || {
            servers.iter().all(|server| server.asked() >= 3)
        });
        let mut client = stage.client();
        let calls = |client: &mut Caller| {
            let before = [one.called(), other.called()];
            for number in 0..20 {
                client.echoes("echo", number);
            }
            [one.called() - before[0], other.called() - before[1]]
        };
        assert_eq!(calls(&mut client), [20, 0], "{era}: the backup rests");
        let sessions = [one.sessions(), other.sessions()];

        one.be_sick(true);
        until("the first is unhealthy", || healthy(&stage, 0) == false);
        assert_eq!(calls(&mut client), [0, 20], "{era}: the backup helps");
        let status = stage.gateway.upstream("web");
        assert_eq!(status["state"], "ready", "{status}");
        assert_eq!(status["replicas"][0]["state"], "failing", "{status}");
        // On a busy machine a question may have had no answer in time, and the next one says why.
        until("it is told why", || {
            let replica = &stage.gateway.upstream("web")["replicas"][0];
            replica["health"]["last_error"] == "MCPC9310"
        });
        assert!(stage.gateway.page("/health").contains("\"degraded\""));

        other.be_sick(true);
        until("both are unhealthy", || healthy(&stage, 1) == false);
        assert_eq!(calls(&mut client), [20, 0], "{era}: all are used as ever");

        one.be_sick(false);
        until("the first is healthy", || healthy(&stage, 0) == true);
        assert_eq!(calls(&mut client), [20, 0], "{era}");
        other.be_sick(false);
        until("both are healthy", || healthy(&stage, 1) == true);
        until("all is well", || {
            stage.gateway.page("/health").contains("\"status\": \"ok\"")
        });
        assert_eq!([one.sessions(), other.sessions()], sessions, "{era}");
        stage.gateway.stop();
    }
}

#[test]
fn the_only_server_is_called_whether_it_is_healthy_or_not() {
    let server = server();
    let address = server.address;
    let with = |health: &str| {
        format!("servers:\n  server: {{ url: \"http://{address}/mcp\", era: legacy{health} }}\n")
    };
    let mut stage = Stage::open(&with(&format!(", {HEALTH}")));
    let mut client = stage.client();
    client.echoes("echo", 1);
    server.be_sick(true);
    until("it is unhealthy", || {
        stage.gateway.upstream("server")["health"]["healthy"] == false
    });
    client.echoes("echo", 2);
    assert_eq!(stage.gateway.upstream("server")["state"], "failing");
    // Who is not asked any more is judged by its calls.
    stage.replace(&with(""));
    until("nobody asks", || {
        stage.gateway.upstream("server")["health"] == Value::Null
    });
    assert_eq!(stage.gateway.upstream("server")["state"], "ready");
    client.echoes("echo", 3);
    assert_eq!(server.sessions(), 1);
    stage.gateway.stop();
}

#[test]
fn nobody_is_started_to_be_asked() {
    let stage = Stage::open(&format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\nservers:\n  idle: {{ command: {FAULTY:?}, start: {{ when: lazy }}, {HEALTH} }}\n\
         \x20 busy: {{ command: {FAULTY:?}, era: modern, {HEALTH} }}\n"
    ));
    until("the other one is asked", || {
        let busy = stage.gateway.upstream("busy");
        busy["health"]["asked"].as_u64().is_some_and(|it| it >= 5)
    });
    let idle = stage.gateway.upstream("idle");
    assert_eq!(idle["state"], "idle", "{idle}");
    assert_eq!(idle["pid"], Value::Null, "{idle}");
    assert_eq!(idle["health"]["asked"], 0, "{idle}");
    let mut client = stage.client();
    client.echoes("idle.echo", 1);
    until("it is asked as well", || {
        let idle = stage.gateway.upstream("idle");
        idle["health"]["asked"].as_u64().is_some_and(|it| it >= 2)
    });
    stage.gateway.stop();
}
