//! The echo upstream over standard input and output: one message a line.
//!
//! Owns the order of its answers: what has come together is answered in reverse, so that nobody can
//! take the order of answers for the order of calls. What it answers is `upstream`'s.

use std::io::{BufRead, BufReader, Write};

use crate::failure::Failure;
use crate::upstream::{Call, Era};

/// How much is read at once, and answered together.
const READ_BYTES: usize = 64 << 10;

/// Serves until the input ends.
pub(crate) fn serve(era: Era) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::at("serve the pipes", &error);
    let mut input = BufReader::with_capacity(READ_BYTES, std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
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
            if let Some(id) = call.id {
                answers.push_str(&call.reply(id.get(), era));
                answers.push('\n');
            }
        }
        output.write_all(answers.as_bytes()).map_err(failed)?;
        output.flush().map_err(failed)?;
    }
}
