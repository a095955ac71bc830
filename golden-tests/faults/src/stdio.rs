//! The server over standard input and output: one message per line.
//!
//! Owns what each fault puts on the pipe. Calls that take time run on threads of their own, so that
//! a fault of one call holds up another only if that is the fault.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::fault::{Fault, HUGE_BYTES};
use crate::healthy::{Asked, asked, given_up, healthy, unknown};
use crate::ledger::{Ledger, round_of};
use crate::process::{Habits, forever, fork};

/// Serves until the input ends, or for ever if that is its habit.
pub fn serve(habits: Habits) {
    habits.adopt();
    let ledger = Arc::new(Ledger::default());
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if let Some(id) = given_up(line.as_bytes()) {
            ledger.cancel(&id);
        }
        if let Some(asked) = asked(line.as_bytes()).filter(|_| !habits.is_silent) {
            if habits.is_old && asked.method == "server/discover" {
                say(&unknown(&asked.id));
                continue;
            }
            answer(&Arc::new(asked), &ledger);
        }
    }
    if habits.is_deaf {
        forever();
    }
}

/// Tells the log of the gateway that a call is here, for tests that have to know.
fn announce(asked: &Asked) {
    eprintln!("{} is with the server", asked.tool);
}

fn answer(asked: &Arc<Asked>, ledger: &Arc<Ledger>) {
    let healthy = |asked: &Asked| healthy(asked, ledger);
    let Some(fault) = asked.fault else {
        say(&healthy(asked));
        if asked.tool == "release" {
            for held in ledger.round(round_of(asked)) {
                say(&healthy(&held));
                ledger.settle(&held);
            }
        }
        return;
    };
    match fault {
        Fault::Garbage => write(b"\x00\xff{not json}\n"),
        Fault::WrongId => say(&json!({ "jsonrpc": "2.0", "id": 987_654_321, "result": {} })),
        Fault::Silence => announce(asked),
        Fault::Hang => forever(),
        Fault::Die => std::process::exit(3),
        Fault::Huge => huge(&asked.id),
        Fault::CutBody => {
            write(b"{\"jsonrpc\":\"2.0\",\"id\":");
            std::process::exit(3);
        }
        Fault::Late => {
            announce(asked);
            let (asked, ledger) = (Arc::clone(asked), Arc::clone(ledger));
            std::thread::spawn(move || {
                std::thread::sleep(asked.pause());
                eprintln!("{} is done", asked.tool);
                say(&crate::healthy::healthy(&asked, &ledger));
            });
        }
        Fault::Held => ledger.begin(asked),
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
        Fault::Asks => {
            let [question, ..] = unasked();
            say(&question);
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
        | Fault::Notices
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
