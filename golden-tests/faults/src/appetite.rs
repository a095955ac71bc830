//! What a server takes of the system when it is asked to: memory, descriptors.
//!
//! Owns the tools `allocate` and `open`. They answer how much they got, so that a limit shows as a
//! smaller number and not as a crash of the server.

use std::fs::File;

use serde_json::Value;

/// These tools.
pub(crate) const TOOLS: [&str; 2] = ["allocate", "open"];

/// What the tool got, if it is one of these.
pub(crate) fn take(tool: &str, arguments: &Value) -> Option<String> {
    let number = |name: &str| {
        let number = arguments.get(name).and_then(Value::as_u64);
        usize::try_from(number.unwrap_or(0)).unwrap_or(usize::MAX)
    };
    match tool {
        "allocate" => Some(allocate(number("bytes")).to_string()),
        "open" => Some(open(number("files")).to_string()),
        _ => None,
    }
}

/// Takes memory and writes to it, and gives it back. Answers the bytes; none if it did not get all.
fn allocate(bytes: usize) -> usize {
    let mut taken = Vec::new();
    if taken.try_reserve_exact(bytes).is_err() {
        return 0;
    }
    taken.resize(bytes, 1_u8);
    std::hint::black_box(&taken).len()
}

/// Opens so many files at once, or as many as it gets.
fn open(files: usize) -> usize {
    let opened = (0..files).map_while(|_| File::open("/dev/null").ok());
    opened.collect::<Vec<File>>().len()
}
