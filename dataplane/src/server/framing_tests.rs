//! A table of framings, judged whole and byte by byte, with the same verdict.

use super::chunked::EXTENSION_BYTES;
use super::fault::Fault;
use super::framing_cases::{mutants, table};
use super::fuzzing::{BOUNDS, Framing, feed};

#[test]
fn good_requests_pass_untouched_however_they_are_cut() {
    for good in table().good {
        let text = good.text;
        for piece in [1, 2, 3, 7, text.len()] {
            let mut framing = Framing::new();
            let verdict = feed(&mut framing, text.as_bytes(), piece);
            assert_eq!(verdict, (text.len(), None), "{piece}: {text:?}");
            assert_eq!(framing.heads, good.bodies.len() as u64, "{piece}: {text:?}");
            let bodies = good.bodies.concat().into_bytes();
            assert_eq!(framing.bodies, bodies, "{piece}: {text:?}");
            assert!(!framing.is_in_body(), "{piece}: {text:?}");
        }
    }
}

#[test]
fn bad_requests_are_refused_at_the_same_byte_however_they_are_cut() {
    for bad in table().bad {
        let text = bad.whole();
        for piece in [1, 2, 3, 7, text.len()] {
            let mut framing = Framing::new();
            let (passed, fault) = feed(&mut framing, text.as_bytes(), piece);
            assert!(bad.is(fault), "{piece}: {text:?}: {fault:?}");
            assert_eq!(passed, bad.before.len(), "{piece}: {text:?}");
            let again = framing.advance(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!((again.passed, again.fault), (0, fault));
        }
    }
}

#[test]
fn a_large_body_is_skipped_by_count() {
    let mut framing = Framing::new();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    assert_eq!(feed(&mut framing, head, head.len()).0, head.len());
    let piece = [b'\r'; 1000];
    for left in (1..=1000).rev() {
        assert!(framing.is_in_body(), "{left}");
        assert_eq!(framing.advance(&piece).passed, piece.len());
    }
    assert!(!framing.is_in_body());
}

#[test]
fn a_head_is_bounded_in_bytes_with_and_without_an_end() {
    let fits = |filler: usize| {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(filler)
        );
        let mut framing = Framing::new();
        (head.len(), feed(&mut framing, head.as_bytes(), head.len()))
    };
    let most = BOUNDS.bytes - fits(0).0;
    assert_eq!(fits(most).1, (BOUNDS.bytes, None));
    assert_eq!(fits(most + 1).1, (0, Some(Fault::HeadTooLarge)));
    for piece in [1, 1000, 5000] {
        let endless = [b'a'; 5000];
        let mut framing = Framing::new();
        let verdict = feed(&mut framing, &endless, piece);
        assert_eq!(verdict, (0, Some(Fault::HeadTooLarge)), "{piece}");
    }
}

#[test]
fn fields_are_bounded_in_number() {
    let judge = |fields: usize| {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(fields - 1)
        );
        let mut framing = Framing::new();
        feed(&mut framing, head.as_bytes(), head.len()).1
    };
    assert_eq!(judge(BOUNDS.fields), None);
    assert_eq!(judge(BOUNDS.fields + 1), Some(Fault::TooManyFields));
}

#[test]
fn extensions_and_trailers_are_bounded_over_a_whole_body() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let judge = |body: String| {
        let mut framing = Framing::new();
        let text = format!("{head}{body}");
        feed(&mut framing, text.as_bytes(), text.len()).1
    };
    let extended = |count: usize| format!("1;{}\r\nx\r\n", "e".repeat(count));
    assert_eq!(judge(extended(EXTENSION_BYTES)), None);
    assert_eq!(
        judge(extended(EXTENSION_BYTES + 1)),
        Some(Fault::ChunkExtension)
    );
    assert_eq!(
        judge(extended(100).repeat(EXTENSION_BYTES / 100 + 1)),
        Some(Fault::ChunkExtension)
    );
    let long = format!("0\r\nA: {}", "b".repeat(BOUNDS.bytes));
    assert_eq!(judge(long), Some(Fault::HeadTooLarge));
    let many = format!("0\r\n{}\r\n", "A: b\r\n".repeat(BOUNDS.fields + 1));
    assert_eq!(judge(many), Some(Fault::TooManyFields));
}

#[test]
fn any_bytes_at_all_end_in_a_verdict_that_does_not_depend_on_the_cut() {
    for text in mutants(2000) {
        let whole = feed(&mut Framing::new(), &text, text.len());
        for piece in [1, 5] {
            let cut = feed(&mut Framing::new(), &text, piece);
            assert_eq!(cut, whole, "{:?}", String::from_utf8_lossy(&text));
        }
    }
}
