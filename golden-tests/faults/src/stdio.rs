//! The server over standard input and output: one message per line.
//!
//! Owns what each fault puts on the pipe. Calls that take time run on threads of their own, so that
//! a fault of one call holds up another only if that is the fault.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::{Fault, HUGE_BYTES};
use crate::healthy::{Asked, asked, healthy};
use crate::process::{Habits, forever, fork};

/// Serves until the input ends, or for ever if that is its habit.
pub fn serve(habits: Habits) {
    habits.adopt();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if let Some(asked) = asked(line.as_bytes()).filter(|_| !habits.is_silent) {
            answer(&Arc::new(asked));
        }
    }
    if habits.is_deaf {
        forever();
    }
}

fn answer(asked: &Arc<Asked>) {
    let Some(fault) = asked.fault else {
        return say(&healthy(asked));
    };
    match fault {
        Fault::Garbage => write(b"\x00\xff{not json}\n"),
        Fault::WrongId => say(&json!({ "jsonrpc": "2.0", "id": 987_654_321, "result": {} })),
        Fault::Silence => {}
        Fault::Hang => forever(),
        Fault::Die => std::process::exit(3),
        Fault::Huge => huge(&asked.id),
        Fault::CutBody => {
            write(b"{\"jsonrpc\":\"2.0\",\"id\":");
            std::process::exit(3);
        }
        Fault::Late => {
            let asked = Arc::clone(asked);
            std::thread::spawn(move || {
                let pause = asked.arguments.get("ms").and_then(Value::as_u64);
                std::thread::sleep(Duration::from_millis(pause.unwrap_or(0)));
                say(&healthy(&asked));
            });
        }
        Fault::Twice => {
            say(&healthy(asked));
            say(&healthy(asked));
        }
        Fault::Unasked => {
            for message in unasked() {
                say(&message);
            }
            say(&healthy(asked));
        }
        Fault::Flood => {
            flood();
            say(&healthy(asked));
        }
        Fault::Fork => {
            fork();
            say(&healthy(asked));
        }
        Fault::Again
        | Fault::HugeChunks
        | Fault::HugeEvent
        | Fault::EndlessBody
        | Fault::EndlessEvents
        | Fault::Firehose
        | Fault::StalledBody
        | Fault::CutHead
        | Fault::StalledHead
        | Fault::EndlessHead
        | Fault::WrongType => say(&healthy(asked)),
    }
}

/// What nobody asked for.
pub(crate) fn unasked() -> [Value; 4] {
    let ask = json!({ "messages": [], "maxTokens": 1 });
    [
        json!({ "jsonrpc": "2.0", "id": "server-1", "method": "sampling/createMessage", "params": ask }),
        json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 987_654_321, "progress": 1 } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 987_654_321 } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/of/no/known/kind" }),
    ]
}

fn huge(id: &Value) {
    let mut out = io::stdout().lock();
    let filler = vec![b'x'; 1 << 20];
    let _gone = write!(
        out,
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"x\":\""
    );
    for _ in 0..HUGE_BYTES / filler.len() {
        let _gone = out.write_all(&filler);
    }
    let _gone = out.write_all(b"\"}}\n").and_then(|()| out.flush());
}

fn flood() {
    let mut talk = io::stderr().lock();
    let filler = vec![b'x'; 1 << 20];
    for _ in 0..HUGE_BYTES / filler.len() {
        let _gone = talk.write_all(&filler);
    }
}

fn say(message: &Value) {
    write(format!("{message}\n").as_bytes());
}

/// A client that has gone is noticed at the end of the input.
fn write(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _gone = out.write_all(bytes).and_then(|()| out.flush());
}
