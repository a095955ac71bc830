//! The echo upstream over standard input and output: one message a line.
//!
//! Owns the order of its answers: what has come together is answered in reverse, so that nobody can
//! take the order of answers for the order of calls. What it answers is `upstream`'s.

use std::io::{BufRead, BufReader, Write};

use crate::failure::Failure;
use crate::upstream::{Call, Era, Fault, LATE};

/// How much is read at once, and answered together.
const READ_BYTES: usize = 64 << 10;

/// How much a flood of standard error is.
const FLOOD_MIB: usize = 64;

/// Serves until the input ends.
pub(crate) fn serve(era: Era) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::at("serve the pipes", &error);
    let mut input = BufReader::with_capacity(READ_BYTES, std::io::stdin().lock());
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            if input.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            lines.push(line);
            if !input.buffer().contains(&b'\n') {
                break;
            }
        }
        let mut answers = String::new();
        for line in lines.iter().rev() {
            let Ok(call) = serde_json::from_slice::<Call<'_>>(line) else {
                return Err(Failure::new("a line is no message"));
            };
            let Some(id) = call.id else { continue };
            let answer = format!("{}\n", call.reply(id.get(), era));
            match call.fault() {
                None => answers.push_str(&answer),
                Some(Fault::Silence | Fault::Firehose) => {}
                Some(fault) => drop(std::thread::spawn(move || say_later(fault, &answer))),
            }
        }
        say(&answers).map_err(failed)?;
    }
}

fn say(answers: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(answers.as_bytes())?;
    output.flush()
}

/// Says something when its time has come. A client that has gone is noticed by whoever reads.
fn say_later(fault: Fault, answer: &str) {
    if fault == Fault::Flood {
        let mut talk = std::io::stderr().lock();
        let filler = vec![b'x'; 1 << 20];
        for _ in 0..FLOOD_MIB {
            let _gone = talk.write_all(&filler);
        }
    } else {
        std::thread::sleep(LATE);
    }
    let _gone = say(answer);
}
