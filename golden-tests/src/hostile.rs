//! Texts that somebody could feed to the compiler to hurt it: deep, wide, long, cut, and multiplied.
//!
//! Owns the texts. What must hold for them is the same as for any text: an error with a code, in
//! bounded output, without a panic. Sizes are chosen so that quadratic work shows as minutes.

/// A text and what it attacks.
pub struct Hostile {
    /// What it attacks.
    pub name: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

const MANY: usize = 10_000;

/// Every text. None of them is a valid configuration.
pub fn hostile_texts() -> Vec<Hostile> {
    let mut texts = encodings();
    texts.extend(depth());
    texts.extend(multiplication());
    texts.extend(width());
    texts.extend(placeholders());
    texts.extend(secrets());
    texts
}

fn hostile(name: &'static str, bytes: impl Into<Vec<u8>>) -> Hostile {
    Hostile {
        name,
        bytes: bytes.into(),
    }
}

fn encodings() -> Vec<Hostile> {
    let utf16: Vec<u8> = "version: 1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        hostile("nothing", ""),
        hostile("blanks", " ".repeat(MANY)),
        hostile("comments only", "# nothing here\n".repeat(MANY)),
        hostile("byte order mark only", "\u{feff}"),
        hostile("NUL", "version: \0"),
        hostile("half a character", &b"version: \xe2\x82"[..]),
        hostile("UTF-16", utf16),
        hostile("tabs", "version: 1\nservers:\n\ttime:\n\t\tcommand: x\n"),
        hostile("escape codes", "\"\u{1b}[2J\u{9b}31m\": 1\n"),
        hostile("no more than a mark", "---\n...\n---\n"),
        hostile(
            "random bytes",
            (0..=255_u8).cycle().take(MANY).collect::<Vec<_>>(),
        ),
    ]
}

fn depth() -> Vec<Hostile> {
    let steps: String = repeated(0..MANY / 10, |n| " ".repeat(n) + "a:\n");
    vec![
        hostile("open brackets", "[".repeat(100 * MANY)),
        hostile("brackets and braces", "[{a: ".repeat(10 * MANY)),
        hostile("closed brackets", "[".repeat(MANY) + &"]".repeat(MANY)),
        hostile("nested maps in blocks", steps),
        hostile("nested lists in one line", "- ".repeat(MANY) + "a\n"),
        hostile("complex keys", "? ".repeat(MANY) + "a\n"),
    ]
}

fn multiplication() -> Vec<Hostile> {
    let bomb: String = repeated(1..20, |n| {
        format!("x-{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(10))
    });
    let merges: String = repeated(1..MANY, |n| {
        format!("x-{n}: &m{n} {{ <<: *m{}, k{n}: v }}\n", n - 1)
    });
    let servers: String = repeated(0..MANY, |n| format!("  s{n}: {{ command: x }}\n"));
    let endpoints: String = repeated(0..MANY, |n| format!("  e{n}: {{ path: /{n} }}\n"));
    let merge_list = format!("<<: [{}]\n", "*a0,".repeat(MANY));
    vec![
        hostile(
            "alias bomb",
            format!("x-0: &a0 [lol, lol]\n{bomb}servers: *a19\n"),
        ),
        hostile("merges of merges", format!("x-0: &m0 {{ k: v }}\n{merges}")),
        hostile(
            "one map merged often",
            format!("x-0: &a0 {{ a: b, c: d }}\n{merge_list}"),
        ),
        hostile(
            "endpoints times servers",
            format!("version: 1\nservers:\n{servers}endpoints:\n{endpoints}"),
        ),
        hostile("an anchor in itself", "servers: &a { b: *a }\n"),
        hostile(
            "anchors",
            repeated(0..MANY, |n| format!("x-{n}: &a{n} b\n")),
        ),
    ]
}

fn width() -> Vec<Hostile> {
    let head = "version: 1\nservers:\n  time:\n    command: mcp-server-time\n";
    let unknown: String = repeated(0..MANY, |n| format!("key{n}: value\n"));
    let servers: String = repeated(0..MANY / 5, |n| format!("  s{n}: {{ comand: x, ur: y }}\n"));
    let long = "x".repeat(100 * MANY);
    let wide = "\u{1f980}\u{200d}".repeat(MANY);
    vec![
        hostile("unknown keys", format!("{head}{unknown}")),
        hostile(
            "one key often",
            format!("{head}{}", "listen: 1\n".repeat(MANY)),
        ),
        hostile("wrong servers", format!("version: 1\nservers:\n{servers}")),
        hostile("a long key", format!("{head}{long}: 1\n")),
        hostile(
            "a long value",
            format!("{head}limits: {{ body: {long} }}\n"),
        ),
        hostile(
            "a long number",
            format!("version: {}\n", "9".repeat(100 * MANY)),
        ),
        hostile(
            "a long line of wide characters",
            format!("{head}? {wide} : {wide}\n"),
        ),
        hostile("an open quote", format!("{head}    args: [\"{long}\n")),
        hostile("line ends", format!("{head}{}x", "\n".repeat(100 * MANY))),
        hostile(
            "list of lists",
            format!("{head}    args: [{}]\n", "[],".repeat(MANY)),
        ),
    ]
}

fn placeholders() -> Vec<Hostile> {
    let with = |text: String| format!("version: 1\nservers: {{ a: {{ command: \"{text}\" }} }}\n");
    vec![
        hostile(
            "nested defaults",
            with("$<A:-".repeat(MANY) + &">".repeat(MANY)),
        ),
        hostile("opened placeholders", with("$<".repeat(MANY))),
        hostile("opened braces", with("${A:-".repeat(MANY))),
        hostile(
            "a placeholder without end",
            with(format!("$<{}", "A".repeat(10 * MANY))),
        ),
    ]
}

/// What looks like the beginning of a secret again and again, in a text that can be read and in one
/// that cannot.
fn secrets() -> Vec<Hostile> {
    let beginnings = [
        "sk-", "token", "key:", "--token ", "://", "a=", "ghp_1", "eyJ.", "' #",
    ];
    let text: String = beginnings.map(|text| text.repeat(10 * MANY)).concat();
    let head = "version: 1\nservers:\n  a:\n    command: x\n    args:\n";
    let flags: String = "      - --token\n".repeat(MANY);
    let keys: String = repeated(0..MANY, |n| format!("key{n} {n}: x, "));
    vec![
        hostile(
            "announced in one line",
            format!("{head}      - \"{text}\"\nx: 1\n"),
        ),
        hostile(
            "announced in an open quote",
            format!("{head}      - \"{text}\n"),
        ),
        hostile(
            "announced in a comment",
            format!("{head}      - x # {text}\nx: 1 # {text}\n"),
        ),
        hostile(
            "announced in one unknown key",
            format!("{head}\"{text}\": 1\n"),
        ),
        hostile("flags", format!("{head}{flags}x: 1\n")),
        hostile(
            "keys with a secret in them",
            format!("headers: {{ a: {{ {keys} }} }}\n"),
        ),
    ]
}

/// One piece of text for each number.
fn repeated(numbers: std::ops::Range<usize>, piece: impl Fn(usize) -> String) -> String {
    numbers.map(piece).collect::<Vec<_>>().concat()
}
