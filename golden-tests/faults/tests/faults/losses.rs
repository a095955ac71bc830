//! A server that forgets its sessions: one new greeting for everybody, and nobody's call is lost.

use std::sync::Barrier;

use mcpc_faults::HttpServer;
use serde_json::json;

use crate::legacy::LegacyCaller;
use crate::stage::{Stage, text_of};

const ROUNDS: u64 = 10;
const CALLS: u64 = 64;

#[test]
fn sessions_that_a_server_has_lost_are_renewed_by_one_greeting_for_all_calls() {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let stage = Stage::open(&format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: legacy }}\n",
        server.address
    ));
    let legacy = LegacyCaller::greet(stage.gateway.address);
    stage.client().echoes("echo", 0);
    assert_eq!(server.sessions(), 1);
    for round in 1..=ROUNDS {
        server.forget_sessions();
        let together = Barrier::new(usize::try_from(CALLS).unwrap());
        std::thread::scope(|scope| {
            for number in 0..CALLS {
                let mut modern = stage.client();
                let (legacy, together) = (&legacy, &together);
                scope.spawn(move || {
                    together.wait();
                    if number.is_multiple_of(2) {
                        return modern.echoes("echo", number);
                    }
                    let arguments = json!({ "mark": number });
                    let reply = legacy.call(number, "echo", &arguments);
                    assert_eq!(text_of(&reply), arguments.to_string());
                });
            }
        });
        assert_eq!(server.sessions(), usize::try_from(round).unwrap() + 1);
    }
    stage.gateway.stop();
}
