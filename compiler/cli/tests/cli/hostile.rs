//! Texts and files that somebody could hand to `mcpc` to hurt it: told with a code, in bounded memory.
//!
//! What the compiler finds in such texts is the corpus' business (`golden-tests/src/hostile.rs`); here
//! the whole command reads them, as large as they may be and larger.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::invocation::Folder;

/// What the command may use: memory of its own, in KiB, and time. The time is for an unoptimized build
/// on a busy machine; a release build takes less than two seconds for each of these.
const MEMORY_KIB: u32 = 200 * 1024;
const TIME: Duration = Duration::from_secs(60);

/// A little less than the largest text that is read.
const LARGE_BYTES: usize = (16 << 20) - 100;

/// `mcpc check` of this file, with no more memory than it may use.
fn check(folder: &Folder, file: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("ulimit -d {MEMORY_KIB} && exec \"$0\" check \"$1\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_mcpc"), file])
        .current_dir(folder.path())
        .env_clear()
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn is_told(name: &str, command: &mut Command) {
    let began = Instant::now();
    is_told_in(name, &command.output().unwrap());
    let elapsed = began.elapsed();
    assert!(elapsed < TIME, "{name} took {elapsed:?}");
}

#[track_caller]
fn is_told_in(name: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    let shown: String = said.chars().take(2000).collect();
    let code = output.status.code();
    assert!(matches!(code, Some(1 | 2)), "{name}: {code:?} {shown}");
    assert!(said.contains("error[MCPC"), "{name}: {shown}");
    assert!(!said.contains("panicked"), "{name}: {shown}");
    assert!(said.len() < 1 << 20, "{name}: {} bytes", said.len());
}

/// As many of a piece of text as there is room for, numbered.
fn filled(head: &str, piece: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for number in 0.. {
        let next = piece(number);
        if text.len() + next.len() > LARGE_BYTES {
            break;
        }
        text += &next;
    }
    text
}

#[test]
fn the_largest_texts_are_told_in_bounded_memory() {
    let folder = Folder::new();
    let servers = filled("version: 1\nservers:\n", |n| {
        format!(" s{n}: {{ comand: x }}\n")
    });
    let anchors = filled("version: 1\nx-a:\n", |n| format!("- &a{n} b\n"));
    let texts = [
        ("servers", servers),
        ("anchors", anchors),
        ("line ends", "\n".repeat(LARGE_BYTES) + "x"),
        ("brackets", "[".repeat(LARGE_BYTES)),
        ("10,000 levels", "[".repeat(10_000) + &"]".repeat(10_000)),
        ("50 MB", "x: y\n".repeat(10_000_000)),
    ];
    for (name, text) in texts {
        folder.write("mcpc.yaml", text);
        is_told(name, &mut check(&folder, "mcpc.yaml"));
    }
}

#[test]
fn input_without_an_end_is_not_read_to_it() {
    let folder = Folder::new();
    is_told("zeros", &mut check(&folder, "/dev/zero"));
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    is_told("zeros on input", check(&folder, "-").stdin(zeros));
}

/// Writes until nobody reads any more.
fn pour(mut pipe: impl Write) {
    let piece = vec![b'a'; 1 << 16];
    while pipe.write_all(&piece).is_ok() {}
}

#[test]
fn a_pipe_is_read_as_far_as_a_file() {
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().unwrap();
    std::thread::spawn(move || pour(writer));
    is_told("a flood", check(&folder, "-").stdin(reader));

    let made = Command::new("mkfifo")
        .arg(folder.path().join("named"))
        .status();
    assert!(made.unwrap().success());
    let named = folder.path().join("named");
    let writing = std::thread::spawn(move || {
        let text = "version: 1\nservers: { time: { comand: x } }\n";
        std::fs::write(named, text).unwrap();
    });
    let output = check(&folder, "named").output().unwrap();
    writing.join().unwrap();
    is_told_in("a named pipe", &output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("named:2:20"));
}

#[test]
fn what_is_no_file_is_told() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket"));
    let _socket = socket.unwrap();
    for name in [
        "missing",
        "directory",
        "socket",
        "/dev/null",
        "a\nb",
        "/proc/self/mem",
    ] {
        is_told(name, &mut check(&folder, name));
    }
}
